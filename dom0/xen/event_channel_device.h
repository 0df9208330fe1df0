#pragma once
// Event channels on the daemon's event loop.

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "common/event_channel_file.h"
#include "xen/event_channels.h"

namespace torii::dom0 {

class EventChannelDevice final : public backend::EventChannelFile {
public:
    // Throws Failure (kNoConnection).
    explicit EventChannelDevice(boost::asio::io_context& context);
    ~EventChannelDevice() override;

private:
    void read_next();
    std::exception_ptr deliver(size_t bytes);

    boost::asio::posix::stream_descriptor reader_;
    std::array<uint32_t, 64> ready_{};
};

}  // namespace torii::dom0
