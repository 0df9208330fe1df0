#include "console.h"

#include <poll.h>
#include <termios.h>
#include <torii/failure.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>

namespace torii::cli {
namespace {

constexpr char kLeaveKey = 0x1D;  // Ctrl-]

// Keys go to the guest as they are typed; undone when the object goes.
class RawTerminal {
public:
    RawTerminal() {
        active_ = ::isatty(STDIN_FILENO) == 1 && ::tcgetattr(STDIN_FILENO, &before_) == 0;
        if (!active_) return;
        termios raw = before_;
        ::cfmakeraw(&raw);
        raw.c_oflag |= OPOST | ONLCR;  // for our own lines; guests send their carriage returns themselves
        ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    ~RawTerminal() {
        if (active_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    }
    RawTerminal(const RawTerminal&) = delete;
    RawTerminal& operator=(const RawTerminal&) = delete;
    bool active() const { return active_; }

private:
    termios before_{};
    bool active_ = false;
};

void write_out(const std::string& data) {
    std::string_view rest = data;
    while (!rest.empty()) {
        const ssize_t count = ::write(STDOUT_FILENO, rest.data(), rest.size());
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) throw Failure(ErrorCode::kSystem, "standard output cannot be written any more");
        rest.remove_prefix(static_cast<size_t>(count));
    }
}

class ConsoleLoop {
public:
    ConsoleLoop(Connection& connection, const ConsoleOptions& options)
        : connection_(connection), options_(options), matcher_(options.expect.value_or("")) {}

    ExitCode run() {
        v1::Request attach;
        auto& request = *attach.mutable_console_attach();
        request.set_domain(options_.domain);
        // What was written before cannot be the answer to what is sent now, but may be what is waited for.
        request.set_history_bytes(options_.send ? 0 : options_.history_bytes);
        request.set_read_only(options_.read_only);
        id_ = connection_.send(attach);
        if (options_.send) type(*options_.send);
        const bool scripted = options_.send || options_.expect;
        std::optional<RawTerminal> terminal;
        if (!scripted) {
            terminal.emplace();
            greets_ = terminal->active();
        }
        reads_input_ = !scripted && !options_.read_only;
        deadline_ = std::chrono::steady_clock::now() + options_.timeout;
        if (options_.send && !options_.expect) return ExitCode::kSuccess;
        while (!outcome_)
            step();
        if (terminal && terminal->active()) std::fputs("\n[left]\n", stderr);
        return *outcome_;
    }

private:
    void step() {
        std::array<pollfd, 2> waiting{{{connection_.descriptor(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}}};
        int timeout = -1;
        if (options_.expect) {
            const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                deadline_ - std::chrono::steady_clock::now());
            timeout = static_cast<int>(std::max<int64_t>(left.count(), 0));
        }
        const int ready = ::poll(waiting.data(), reads_input_ ? 2 : 1, timeout);
        if (ready < 0 && errno == EINTR) return;
        if (ready == 0) {
            throw Failure(ErrorCode::kTimeout, "the guest has not written \"" + *options_.expect +
                                                   "\" within " + std::to_string(options_.timeout.count()) +
                                                   " seconds");
        }
        if (waiting[0].revents != 0) take_replies();
        if (reads_input_ && waiting[1].revents != 0 && !outcome_) take_input();
    }

    void take_replies() {
        auto reply = connection_.receive();
        while (reply && !outcome_) {
            take(*reply);
            if (outcome_) return;
            reply = connection_.receive(std::chrono::milliseconds(0));
        }
    }

    void take(const v1::Reply& reply) {
        throw_failure(reply);
        if (reply.outcome_case() == v1::Reply::kConsoleData) {
            if (greets_) std::fputs("[attached; Ctrl-] leaves]\n", stderr);
            greets_ = false;
            const std::string& data = reply.console_data().data();
            write_out(data);
            if (options_.expect && matcher_.feed(data)) outcome_ = ExitCode::kSuccess;
        } else if (reply.outcome_case() == v1::Reply::kDone) {
            if (options_.expect) {
                throw Failure(ErrorCode::kOperationFailed,
                              "the domain ended before its guest wrote \"" + *options_.expect + "\"");
            }
            std::fputs("\r\n[the domain has ended]\r\n", stderr);
            outcome_ = ExitCode::kSuccess;
        }
    }

    void take_input() {
        std::array<char, 1024> buffer;
        const ssize_t count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) return;
        if (count <= 0) {
            outcome_ = ExitCode::kSuccess;
            return;
        }
        std::string data(buffer.data(), static_cast<size_t>(count));
        const size_t leave = ::isatty(STDIN_FILENO) == 1 ? data.find(kLeaveKey) : std::string::npos;
        if (leave != std::string::npos) {
            data.resize(leave);
            outcome_ = ExitCode::kSuccess;
        }
        if (!data.empty()) type(data);
    }

    void type(const std::string& data) {
        v1::Request request;
        request.mutable_console_input()->set_data(data);
        connection_.send_with_id(request, id_);
    }

    Connection& connection_;
    const ConsoleOptions& options_;
    StreamMatcher matcher_;
    uint64_t id_ = 0;
    bool reads_input_ = false;
    bool greets_ = false;  // with the daemon's first answer, which says that there is a console
    std::chrono::steady_clock::time_point deadline_;
    std::optional<ExitCode> outcome_;
};

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

}  // namespace

ExitCode run_console(Connection& connection, const ConsoleOptions& options) {
    return ConsoleLoop(connection, options).run();
}

std::string replace_escapes(const std::string& text) {
    std::string result;
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] != '\\') {
            result.push_back(text[i]);
            continue;
        }
        const char kind = i + 1 < text.size() ? text[i + 1] : '\0';
        i++;
        switch (kind) {
            case 'n':
                result.push_back('\n');
                continue;
            case 'r':
                result.push_back('\r');
                continue;
            case 't':
                result.push_back('\t');
                continue;
            case 'e':
                result.push_back('\x1B');
                continue;
            case '\\':
                result.push_back('\\');
                continue;
            case 'x':
                if (i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
                    result.push_back(static_cast<char>(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2])));
                    i += 2;
                    continue;
                }
                [[fallthrough]];
            default:
                throw Failure(ErrorCode::kInvalidArgument,
                              "unknown escape in \"" + text + "\": use \\n \\r \\t \\e \\\\ or \\xHH");
        }
    }
    return result;
}

bool StreamMatcher::feed(const std::string& piece) {
    tail_ += piece;
    seen_ = seen_ || tail_.find(wanted_) != std::string::npos;
    if (tail_.size() > wanted_.size()) tail_.erase(0, tail_.size() - wanted_.size());
    return seen_;
}

}  // namespace torii::cli
