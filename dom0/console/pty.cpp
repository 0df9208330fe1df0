#include "console/pty.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <torii/failure.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <cstring>

#include "log/log.h"

namespace torii::dom0 {
namespace {

[[noreturn]] void fail(const char* what) {
    throw Failure(ErrorCode::kSystem, fmt::format("no pty for a console: {}: {} (is /dev/pts mounted?)", what,
                                                  std::strerror(errno)));
}

int open_controller() {
    const int controller = ::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (controller < 0) fail("/dev/ptmx");
    return controller;
}

}  // namespace

Pty::Pty(boost::asio::io_context& context, Input input)
    : controller_(context, open_controller()), input_(std::move(input)) {
    int locked = 0;
    unsigned number = 0;
    if (::ioctl(controller_.native_handle(), TIOCSPTLCK, &locked) != 0) fail("unlocking");
    if (::ioctl(controller_.native_handle(), TIOCGPTN, &number) != 0) fail("numbering");
    path_ = fmt::format("/dev/pts/{}", number);
    terminal_ = FileDescriptor(::open(path_.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (!terminal_.valid()) fail(path_.c_str());
    termios settings{};
    if (::tcgetattr(terminal_.get(), &settings) == 0) {
        ::cfmakeraw(&settings);
        ::tcsetattr(terminal_.get(), TCSANOW, &settings);
    }
    read_next();
}

void Pty::write(std::span<const uint8_t> bytes) {
    (void)!::write(controller_.native_handle(), bytes.data(), bytes.size());
}

void Pty::read_next() {
    controller_.async_read_some(boost::asio::buffer(buffer_),
                                [this](const boost::system::error_code& error, size_t count) {
                                    if (error) return;  // aborted, or the pty is gone
                                    input_(std::span<const uint8_t>(buffer_.data(), count));
                                    read_next();
                                });
}

}  // namespace torii::dom0
