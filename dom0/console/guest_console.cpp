#include "console/guest_console.h"

#include <torii/ring/byte_ring.h>

#include <algorithm>
#include <array>

#include "log/log.h"

namespace torii::dom0 {
namespace {

constexpr size_t kMaxWaitingInput = 64 * 1024;
constexpr int kRoundsPerService = 4;  // then others get their turn

ring::ByteRingReader output_of(abi::ConsoleRing& ring) {
    return ring::ByteRingReader({ring.out, abi::kConsoleOutSize, &ring.out_cons, &ring.out_prod});
}

ring::ByteRingWriter input_of(abi::ConsoleRing& ring) {
    return ring::ByteRingWriter({ring.in, abi::kConsoleInSize, &ring.in_cons, &ring.in_prod});
}

}  // namespace

GuestConsole::GuestConsole(Wiring wiring, std::unique_ptr<ConsoleLog> log)
    : wiring_(std::move(wiring)), log_(std::move(log)) {
    skip_logged_output();
}

// A daemon killed between logging and consuming leaves bytes in the ring that are in the log already. The
// index and the log's length both count from the guest's start, so the difference tells how many.
void GuestConsole::skip_logged_output() {
    const auto total = log_->total();
    if (!total) return;
    auto output = output_of(*wiring_.ring);
    const uint32_t logged_beyond = static_cast<uint32_t>(*total) - ring::load_relaxed(wiring_.ring->out_cons);
    // Anything else means that the guest plays with its index: then what it shows is what gets logged.
    if (logged_beyond != 0 && logged_beyond <= output.available()) output.consume(logged_beyond);
}

bool GuestConsole::indices_are_possible() {
    const bool was_broken = broken_;
    broken_ = output_of(*wiring_.ring).broken() || input_of(*wiring_.ring).broken();
    if (broken_ && !was_broken) {
        log_warning("the console ring of {} holds impossible indices: it is not served while it does",
                    wiring_.name);
        if (wiring_.broken) wiring_.broken();
    }
    return !broken_;
}

bool GuestConsole::move_output() {
    if (!indices_are_possible()) return false;
    auto output = output_of(*wiring_.ring);
    std::array<uint8_t, abi::kConsoleOutSize> buffer;
    const uint32_t count = output.peek(buffer);
    if (count == 0) return false;
    const std::span<const uint8_t> bytes(buffer.data(), count);
    wiring_.fail_point("console.read");
    log_->append(bytes);
    wiring_.fail_point("console.logged");
    output.consume(count);
    wiring_.fail_point("console.consumed");
    const auto readers = readers_;  // a reader may leave while it is told
    for (const auto& [id, reader] : readers)
        reader(bytes);
    return true;
}

bool GuestConsole::move_input() {
    if (input_.empty()) return false;
    const auto* data = reinterpret_cast<const uint8_t*>(input_.data());
    const uint32_t count = input_of(*wiring_.ring).write({data, input_.size()});
    input_.erase(0, count);
    return count != 0;
}

void GuestConsole::service() {
    bool again = true;
    for (int round = 0; again && round < kRoundsPerService; round++) {
        again = move_output();
        const bool sent = move_input();
        if (again || sent) wiring_.notify();
        // The guest may have produced before it saw the index move, without an event: look again.
        ring::full_barrier();
    }
    if (again) wiring_.call_again();
}

void GuestConsole::drain() {
    while (move_output()) {
    }
}

GuestConsole::ReaderId GuestConsole::add_reader(Reader reader) {
    const ReaderId id = next_reader_++;
    readers_.emplace(id, std::move(reader));
    return id;
}

size_t GuestConsole::send_input(std::span<const uint8_t> bytes) {
    const size_t count = std::min(bytes.size(), kMaxWaitingInput - input_.size());
    input_.append(reinterpret_cast<const char*>(bytes.data()), count);
    if (move_input()) wiring_.notify();
    return count;
}

}  // namespace torii::dom0
