#pragma once
// /dev/xen/evtchn (public sys/evtchn.h) on the event loop.

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <unordered_map>

#include "xen/event_channels.h"

namespace torii::dom0 {

class EventChannelDevice final : public EventChannels {
public:
    // Throws Failure (kNoConnection).
    explicit EventChannelDevice(boost::asio::io_context& context);

    Port bind_interdomain(DomId remote, Port remote_port, Handler handler) override;
    Port bind_virq(abi::Virq virq, Handler handler) override;
    void unbind(Port local) noexcept override;
    void notify(Port local) noexcept override;

    size_t bound_ports() const { return handlers_.size(); }

private:
    void read_next();
    void deliver(size_t bytes);

    boost::asio::posix::stream_descriptor device_;
    std::array<uint32_t, 64> ready_{};
    std::unordered_map<uint32_t, Handler> handlers_;
};

}  // namespace torii::dom0
