#include "screen.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <torii/failure.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

namespace torii::cli {
namespace {

constexpr const char* kEnter = "\x1B[?1049h\x1B[?25l";  // the alternate screen, no cursor
constexpr const char* kLeave = "\x1B[?25h\x1B[?1049l";
constexpr size_t kUsualRows = 24;
constexpr size_t kUsualColumns = 80;

void write_out(const std::string& text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
        throw Failure(ErrorCode::kSystem, "the terminal cannot be written any more");
}

winsize window() {
    winsize size{};
    ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    return size;
}

}  // namespace

Screen::Screen() {
    if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDOUT_FILENO) != 1 ||
        ::tcgetattr(STDIN_FILENO, &before_) != 0) {
        throw Failure(ErrorCode::kInvalidArgument,
                      "this needs a terminal for its keys and its display; --batch does without");
    }
    // Signals are read like keys, so that none ends the program before the terminal is as it was.
    sigset_t wanted;
    ::sigemptyset(&wanted);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH})
        ::sigaddset(&wanted, signal);
    ::sigprocmask(SIG_BLOCK, &wanted, &mask_before_);
    signals_ = ::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    quiet.c_cc[VMIN] = 1;
    quiet.c_cc[VTIME] = 0;
    quiet.c_cc[VSUSP] = _POSIX_VDISABLE;  // a stopped program would leave the terminal like this
    ::tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
    write_out(kEnter);
}

Screen::~Screen() {
    std::fputs(kLeave, stdout);
    std::fflush(stdout);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    ::close(signals_);
    ::sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
}

size_t Screen::rows() const {
    const winsize size = window();
    return size.ws_row == 0 ? kUsualRows : size.ws_row;
}

size_t Screen::columns() const {
    const winsize size = window();
    return size.ws_col == 0 ? kUsualColumns : size.ws_col;
}

void Screen::draw(const std::string& text) {
    std::string frame = "\x1B[H";
    for (const char c : text) {
        if (c == '\n') frame += "\x1B[K\r";
        frame.push_back(c);
    }
    write_out(frame + "\x1B[K\x1B[J");
}

Screen::Event Screen::read_signal() const {
    signalfd_siginfo signal{};
    if (::read(signals_, &signal, sizeof(signal)) != sizeof(signal)) return {};
    return {signal.ssi_signo == SIGWINCH ? Happened::kResized : Happened::kInterrupted};
}

Screen::Event Screen::wait(std::chrono::milliseconds limit) {
    std::array<pollfd, 2> waiting{{{signals_, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}}};
    if (::poll(waiting.data(), waiting.size(), static_cast<int>(limit.count())) <= 0) return {};
    if (waiting[0].revents != 0) return read_signal();
    char key = 0;
    const ssize_t count = ::read(STDIN_FILENO, &key, 1);
    if (count < 0 && errno == EINTR) return {};
    // A terminal that is gone is as good as an order to leave.
    if (count <= 0) return {Happened::kInterrupted};
    return {Happened::kKey, key};
}

}  // namespace torii::cli
