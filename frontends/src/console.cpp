#include <torii/abi/io/console.h>
#include <torii/guest/console.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/start.h>
#include <torii/ring/byte_ring.h>

namespace torii::guest {

namespace {

abi::ConsoleRing& console_ring() {
    return *static_cast<abi::ConsoleRing*>(pointer_of_pfn(pfn_of_mfn(start_info().console.dom_u.mfn)));
}

void notify_console() {
    abi::EventSend send{start_info().console.dom_u.evtchn};
    event_channel_op(abi::EventChannelOp::kSend, send);
}

// Waits for room as long as it takes: a reader that is away must not lose what a test says.
void write_ring(std::string_view text) {
    abi::ConsoleRing& ring = console_ring();
    ring::ByteRingWriter writer({ring.out, abi::kConsoleOutSize, &ring.out_cons, &ring.out_prod});
    std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    while (!bytes.empty() && !writer.broken()) {
        bytes = bytes.subspan(writer.write(bytes));
        notify_console();
        if (!bytes.empty()) sched_op(abi::SchedOp::kYield);
    }
}

// Collects a line, so that it goes out whole.
class LineBuffer {
public:
    void put(char character) {
        if (length_ == sizeof(text_)) flush();
        text_[length_++] = character;
    }
    void put(std::string_view text) {
        for (const char character : text) {
            put(character);
        }
    }
    void put_number(uint64_t number, uint64_t base) {
        char digits[20];
        size_t count = 0;
        do {
            digits[count++] = "0123456789abcdef"[number % base];
            number /= base;
        } while (number != 0);
        while (count > 0) {
            put(digits[--count]);
        }
    }
    void flush() {
        write_console({text_, length_});
        length_ = 0;
    }

private:
    char text_[256];
    size_t length_ = 0;
};

void put_argument(LineBuffer& line, const PrintArgument& argument, bool hexadecimal) {
    if (argument.kind == PrintArgument::Kind::kText) {
        line.put(argument.text);
    } else if (hexadecimal) {
        line.put("0x");
        line.put_number(argument.number, 16);
    } else if (argument.kind == PrintArgument::Kind::kSigned && static_cast<int64_t>(argument.number) < 0) {
        line.put('-');
        line.put_number(0 - argument.number, 10);
    } else {
        line.put_number(argument.number, 10);
    }
}

}  // namespace

void write_console(std::string_view text) {
    if (is_control_domain()) {
        console_io(abi::ConsoleIoOp::kWrite, text.size(), text.data());
    } else if (start_info().console.dom_u.mfn != 0) {
        write_ring(text);
    }
}

size_t read_console(std::span<char> buffer) {
    if (is_control_domain()) {
        const int64_t count = console_io(abi::ConsoleIoOp::kRead, buffer.size(), buffer.data());
        return count > 0 ? static_cast<size_t>(count) : 0;
    }
    abi::ConsoleRing& ring = console_ring();
    ring::ByteRingReader reader({ring.in, abi::kConsoleInSize, &ring.in_cons, &ring.in_prod});
    const size_t count = reader.read({reinterpret_cast<uint8_t*>(buffer.data()), buffer.size()});
    if (count != 0) notify_console();
    return count;
}

void print_arguments(std::string_view format, std::span<const PrintArgument> arguments) {
    LineBuffer line;
    size_t next = 0;
    for (size_t index = 0; index < format.size(); ++index) {
        const std::string_view rest(format.data() + index, format.size() - index);
        const bool hexadecimal = rest.starts_with("{x}");
        if ((hexadecimal || rest.starts_with("{}")) && next < arguments.size()) {
            put_argument(line, arguments[next++], hexadecimal);
            index += hexadecimal ? 2 : 1;
        } else {
            line.put(format[index]);
        }
    }
    line.flush();
}

}  // namespace torii::guest
