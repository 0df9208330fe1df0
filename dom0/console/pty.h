#pragma once
// The pty of a guest's console, for programs that want a terminal device (minicom, expect, an emulator).

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <span>
#include <string>

#include "xen/file_descriptor.h"

namespace torii::dom0 {

class Pty {
public:
    using Input = std::function<void(std::span<const uint8_t>)>;

    // Throws Failure (kSystem) when there are no ptys (is /dev/pts mounted?).
    Pty(boost::asio::io_context& context, Input input);

    // What nobody reads is dropped once the terminal's own buffer is full: the log has it all.
    void write(std::span<const uint8_t> bytes);

    const std::string& path() const { return path_; }

private:
    void read_next();

    boost::asio::posix::stream_descriptor controller_;
    FileDescriptor terminal_;  // kept open, so that the pty lives without a user
    std::string path_;
    Input input_;
    std::array<uint8_t, 256> buffer_{};
};

}  // namespace torii::dom0
