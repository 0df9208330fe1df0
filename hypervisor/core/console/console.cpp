#include "core/console/console.h"

#include <atomic>

#include "base/lock.h"
#include "core/console/guest_lines.h"
#include "core/console/log_ring.h"
#include "core/console/rate_limit.h"
#include "port/machine.h"

namespace torii {
namespace {

constexpr uint32_t kInputBytes = 1024;  // a power of two
constexpr std::string_view kPrefix = "(torii) ";

constinit std::atomic<LogThreshold> own_threshold{LogThreshold::kInfo};
constinit std::atomic<LogThreshold> guest_threshold{LogThreshold::kWarnings};
constinit std::atomic<bool> panicking{false};

// Under the console lock.
constinit Spinlock console_lock{LockRank::kConsole};
constinit LogRing ring;
constinit RateLimit guest_lines_limit;
constinit GuestLines guest_lines;
constinit char input[kInputBytes]{};
constinit uint32_t input_begin = 0;  // free-running
constinit uint32_t input_end = 0;

class ConsoleGuard {
public:
    ConsoleGuard() : locked_(!panicking.load(std::memory_order_relaxed)) {
        if (locked_) console_lock.lock();
    }
    ConsoleGuard(const ConsoleGuard&) = delete;
    ~ConsoleGuard() {
        if (locked_) console_lock.unlock();
    }

private:
    bool locked_;
};

bool is_shown(LogLevel level, LogThreshold threshold) {
    // Whatever the options say, the end is told.
    if (panicking.load(std::memory_order_relaxed)) return true;
    return static_cast<uint8_t>(level) < static_cast<uint8_t>(threshold);
}

void emit(std::string_view text) {
    ring.append(text);
    console_device_write(text);
}

// One write to the device per line, so that lines of a person's terminal don't tear.
void emit_line(std::string_view prefix, std::string_view line) {
    char text[kLongestLogLine + kPrefix.size() + 24];
    const size_t length = format_to(text, "{}{}", prefix, line);
    text[length < sizeof(text) ? length : sizeof(text) - 1] = '\n';
    emit(std::string_view(text, length < sizeof(text) ? length + 1 : sizeof(text)));
}

// Whether a guest may cause one more line now; says first how many were left out meanwhile.
bool guest_line_allowed() {
    const uint64_t left_out = guest_lines_limit.left_out();
    if (!guest_lines_limit.allow(now())) return false;
    if (left_out != 0) {
        char text[96];
        const size_t length = format_to(text, "{} lines that guests caused were left out", left_out);
        emit_line(kPrefix, std::string_view(text, length));
    }
    return true;
}

}  // namespace

void set_log_threshold(LogThreshold threshold) {
    own_threshold.store(threshold, std::memory_order_relaxed);
}
void set_guest_log_threshold(LogThreshold threshold) {
    guest_threshold.store(threshold, std::memory_order_relaxed);
}
LogThreshold log_threshold() {
    return own_threshold.load(std::memory_order_relaxed);
}
LogThreshold guest_log_threshold() {
    return guest_threshold.load(std::memory_order_relaxed);
}

bool parse_log_threshold(std::string_view text, LogThreshold& threshold) {
    if (const size_t slash = text.find('/'); slash != std::string_view::npos) text.remove_prefix(slash + 1);
    struct Word {
        char text[8];  // in place: a view would be three times as long, and the image is kept small
        LogThreshold threshold;
    };
    static constexpr Word kWords[] = {
        {"none", LogThreshold::kNone}, {"error", LogThreshold::kErrors}, {"warning", LogThreshold::kWarnings},
        {"info", LogThreshold::kInfo}, {"debug", LogThreshold::kAll},    {"all", LogThreshold::kAll},
    };
    for (const Word& word : kWords) {
        if (text != word.text) continue;
        threshold = word.threshold;
        return true;
    }
    return false;
}

void console_enter_panic() {
    panicking.store(true, std::memory_order_relaxed);
}

void log_line(LogLevel level, bool caused_by_guest, std::string_view line) {
    if (!is_shown(level, caused_by_guest ? guest_log_threshold() : log_threshold())) return;
    const ConsoleGuard guard;
    if (caused_by_guest && !guest_line_allowed()) return;
    emit_line(kPrefix, line);
}

void log_formatted(LogLevel level, bool caused_by_guest, std::string_view format,
                   std::span<const FormatArgument> arguments) {
    if (!is_shown(level, caused_by_guest ? guest_log_threshold() : log_threshold())) return;
    char text[kLongestLogLine];
    const size_t length = format_to(std::span<char>(text), format, arguments);
    log_line(level, caused_by_guest, std::string_view(text, length));
}

void console_write_through(std::string_view text) {
    const ConsoleGuard guard;
    console_device_write(text);
}

void console_write_for_guest(DomId domain, std::string_view text) {
    if (!is_shown(LogLevel::kDebug, guest_log_threshold())) return;
    const ConsoleGuard guard;
    guest_lines.write(domain, text, [](DomId whose, std::string_view line) {
        if (!guest_line_allowed()) return;
        char prefix[16];
        const size_t length = format_to(prefix, "(d{}) ", whose);
        emit_line(std::string_view(prefix, length), line);
    });
}

size_t console_read_ring(uint32_t& position, bool from_position, bool clear, std::span<char> out) {
    const ConsoleGuard guard;
    if (!from_position) position = ring.begin();
    const size_t size = ring.read(position, out);
    if (clear) ring.forget_until(position);
    return size;
}

bool console_push_input(char byte) {
    const ConsoleGuard guard;
    if (input_end - input_begin == kInputBytes) return false;
    const bool was_empty = input_end == input_begin;
    input[input_end++ % kInputBytes] = byte;
    return was_empty;
}

size_t console_take_input(std::span<char> out) {
    const ConsoleGuard guard;
    size_t taken = 0;
    while (taken < out.size() && input_begin != input_end)
        out[taken++] = input[input_begin++ % kInputBytes];
    return taken;
}

}  // namespace torii
