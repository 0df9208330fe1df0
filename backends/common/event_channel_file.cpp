#include "common/event_channel_file.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <torii/failure.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace torii::backend {
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

// Not blocking: io_uring then reads it in place, and waits for it itself when there is nothing.
FileDescriptor open_device() {
    FileDescriptor device(::open("/dev/xen/evtchn", O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (device.valid()) return device;
    throw Failure(ErrorCode::kNoConnection,
                  std::string("cannot open /dev/xen/evtchn: ") + std::strerror(errno) +
                      ". Run toriid as root in the control domain, with the module xen-evtchn loaded");
}

}  // namespace

EventChannelFile::EventChannelFile() : EventChannelFile(open_device(), nullptr) {}

EventChannelFile::EventChannelFile(FileDescriptor device, Control control)
    : device_(std::move(device)), control_(std::move(control)) {
    if (control_) return;
    control_ = [file = device_.get()](unsigned long request, void* argument) {
        return ::ioctl(file, request, argument);
    };
}

Port EventChannelFile::bound(int local, Handler handler) {
    handlers_[static_cast<uint32_t>(local)] = std::move(handler);
    return Port(static_cast<uint32_t>(local));
}

Port EventChannelFile::bind_interdomain(DomId remote, Port remote_port, Handler handler) {
    IoctlBindInterdomain request{remote.raw(), remote_port.raw()};
    const int local = control_(kIoctlBindInterdomain, &request);
    if (local >= 0) return bound(local, std::move(handler));
    throw Failure(ErrorCode::kHypercall, "cannot bind to event channel " + std::to_string(remote_port.raw()) +
                                             " of domain " + std::to_string(remote.raw()) + ": " +
                                             std::strerror(errno));
}

Port EventChannelFile::bind_virq(abi::Virq virq, Handler handler) {
    IoctlBindVirq request{static_cast<uint32_t>(virq)};
    const int local = control_(kIoctlBindVirq, &request);
    if (local >= 0) return bound(local, std::move(handler));
    throw Failure(ErrorCode::kHypercall, "cannot bind virtual interrupt " +
                                             std::to_string(static_cast<uint32_t>(virq)) + ": " +
                                             std::strerror(errno));
}

void EventChannelFile::unbind(Port local) noexcept {
    handlers_.erase(local.raw());
    IoctlPort request{local.raw()};
    // Fails only for a port that is not ours, which the map excludes.
    (void)control_(kIoctlUnbind, &request);
}

void EventChannelFile::notify(Port local) noexcept {
    IoctlPort request{local.raw()};
    // A peer that is gone needs no signal.
    (void)control_(kIoctlNotify, &request);
}

std::span<const uint32_t> EventChannelFile::call_handlers(std::span<uint32_t> ports,
                                                          std::exception_ptr& problem) {
    size_t ours = 0;
    for (const uint32_t port : ports) {
        const auto found = handlers_.find(port);
        if (found == handlers_.end()) continue;  // unbound by a handler before
        const Handler handler = found->second;   // it may unbind itself
        ports[ours++] = port;
        try {
            handler();
        } catch (...) {
            problem = std::current_exception();
        }
    }
    return ports.first(ours);
}

}  // namespace torii::backend
