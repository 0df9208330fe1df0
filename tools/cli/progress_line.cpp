#include "progress_line.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

namespace torii::cli {
namespace {

constexpr size_t kUsualColumns = 80;

size_t columns() {
    winsize size{};
    const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0;
    return known ? size.ws_col : kUsualColumns;
}

}  // namespace

ProgressLine::ProgressLine(bool wanted) : wanted_(wanted && ::isatty(STDERR_FILENO) == 1) {}

void ProgressLine::show(uint32_t percent, const std::string& step) {
    if (!wanted_) return;
    char head[16];
    const int written = std::snprintf(head, sizeof(head), "%3u %% ", percent);
    const size_t room = columns() - static_cast<size_t>(written) - 1;
    std::fprintf(stderr, "\r\x1B[K%s%s", head, step.substr(0, room).c_str());
    std::fflush(stderr);
    shown_ = true;
}

void ProgressLine::clear() {
    if (shown_) std::fputs("\r\x1B[K", stderr);
    shown_ = false;
}

}  // namespace torii::cli
