#include "xen/event_channel_device.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <torii/failure.h>

#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <cstring>
#include <exception>

#include "log/log.h"

namespace torii::dom0 {
namespace {

// Layouts of the kernel's ioctl arguments (public sys/evtchn.h).
struct IoctlBindVirq {
    uint32_t virq;
};
struct IoctlBindInterdomain {
    uint32_t remote_domain;
    uint32_t remote_port;
};
struct IoctlPort {
    uint32_t port;
};
constexpr unsigned long kIoctlBindVirq = _IOC(_IOC_NONE, 'E', 0, sizeof(IoctlBindVirq));
constexpr unsigned long kIoctlBindInterdomain = _IOC(_IOC_NONE, 'E', 1, sizeof(IoctlBindInterdomain));
constexpr unsigned long kIoctlUnbind = _IOC(_IOC_NONE, 'E', 3, sizeof(IoctlPort));
constexpr unsigned long kIoctlNotify = _IOC(_IOC_NONE, 'E', 4, sizeof(IoctlPort));

int open_device() {
    const int device = ::open("/dev/xen/evtchn", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (device >= 0) return device;
    throw Failure(
        ErrorCode::kNoConnection,
        fmt::format("cannot open /dev/xen/evtchn: {}. Run toriid as root in the control domain, with the "
                    "module xen-evtchn loaded",
                    std::strerror(errno)));
}

}  // namespace

EventChannelDevice::EventChannelDevice(boost::asio::io_context& context) : device_(context, open_device()) {
    read_next();
}

Port EventChannelDevice::bind_interdomain(DomId remote, Port remote_port, Handler handler) {
    IoctlBindInterdomain request{remote.raw(), remote_port.raw()};
    const int local = ::ioctl(device_.native_handle(), kIoctlBindInterdomain, &request);
    if (local < 0) {
        throw Failure(ErrorCode::kHypercall,
                      fmt::format("cannot bind to event channel {} of domain {}: {}", remote_port.raw(),
                                  remote.raw(), std::strerror(errno)));
    }
    handlers_[static_cast<uint32_t>(local)] = std::move(handler);
    return Port(static_cast<uint32_t>(local));
}

Port EventChannelDevice::bind_virq(abi::Virq virq, Handler handler) {
    IoctlBindVirq request{static_cast<uint32_t>(virq)};
    const int local = ::ioctl(device_.native_handle(), kIoctlBindVirq, &request);
    if (local < 0) {
        throw Failure(
            ErrorCode::kHypercall,
            fmt::format("cannot bind virtual interrupt {}: {} (another toolstack's daemon holds it?)",
                        static_cast<uint32_t>(virq), std::strerror(errno)));
    }
    handlers_[static_cast<uint32_t>(local)] = std::move(handler);
    return Port(static_cast<uint32_t>(local));
}

void EventChannelDevice::unbind(Port local) noexcept {
    handlers_.erase(local.raw());
    IoctlPort request{local.raw()};
    // Fails only for a port that is not ours, which the map excludes.
    (void)::ioctl(device_.native_handle(), kIoctlUnbind, &request);
}

void EventChannelDevice::notify(Port local) noexcept {
    IoctlPort request{local.raw()};
    // A peer that is gone needs no signal.
    (void)::ioctl(device_.native_handle(), kIoctlNotify, &request);
}

void EventChannelDevice::read_next() {
    device_.async_read_some(boost::asio::buffer(ready_),
                            [this](const boost::system::error_code& error, size_t bytes) {
                                if (error == boost::asio::error::operation_aborted) return;
                                if (error) {
                                    log_error("reading /dev/xen/evtchn: {}", error.message());
                                } else {
                                    deliver(bytes);
                                }
                                read_next();
                            });
}

void EventChannelDevice::deliver(size_t bytes) {
    const size_t count = bytes / sizeof(uint32_t);
    for (size_t i = 0; i < count; i++) {
        const auto found = handlers_.find(ready_[i]);
        if (found == handlers_.end()) continue;  // unbound by a handler before
        const Handler handler = found->second;   // it may unbind itself
        try {
            handler();
        } catch (const std::exception& problem) {
            // One ring's trouble must not stop the events of all others.
            log_error("serving event channel {}: {}", ready_[i], problem.what());
        }
    }
    // Unmasked only now, so that a peer that signals all the time is heard once for each turn of the loop. A
    // signal that came meanwhile is pending and fires at once.
    (void)!::write(device_.native_handle(), ready_.data(), count * sizeof(uint32_t));
}

}  // namespace torii::dom0
