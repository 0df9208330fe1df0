#include "common/uring_event_channels.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <torii/failure.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
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

UringEventChannels::UringEventChannels(IoLoop& loop) : UringEventChannels(loop, open_device()) {}

UringEventChannels::UringEventChannels(IoLoop& loop, FileDescriptor device, Control control)
    : loop_(loop), device_(std::move(device)), control_(std::move(control)) {
    if (control_) return;
    control_ = [file = device_.get()](unsigned long request, void* argument) {
        return ::ioctl(file, request, argument);
    };
}

void UringEventChannels::start() {
    read_next();
}

Port UringEventChannels::bound(int local, Handler handler) {
    handlers_[static_cast<uint32_t>(local)] = std::move(handler);
    return Port(static_cast<uint32_t>(local));
}

Port UringEventChannels::bind_interdomain(DomId remote, Port remote_port, Handler handler) {
    IoctlBindInterdomain request{remote.raw(), remote_port.raw()};
    const int local = control_(kIoctlBindInterdomain, &request);
    if (local >= 0) return bound(local, std::move(handler));
    throw Failure(ErrorCode::kHypercall, "cannot bind to event channel " + std::to_string(remote_port.raw()) +
                                             " of domain " + std::to_string(remote.raw()) + ": " +
                                             std::strerror(errno));
}

Port UringEventChannels::bind_virq(abi::Virq virq, Handler handler) {
    IoctlBindVirq request{static_cast<uint32_t>(virq)};
    const int local = control_(kIoctlBindVirq, &request);
    if (local >= 0) return bound(local, std::move(handler));
    throw Failure(ErrorCode::kHypercall, "cannot bind virtual interrupt " +
                                             std::to_string(static_cast<uint32_t>(virq)) + ": " +
                                             std::strerror(errno));
}

void UringEventChannels::unbind(Port local) noexcept {
    handlers_.erase(local.raw());
    IoctlPort request{local.raw()};
    // Fails only for a port that is not ours, which the map excludes.
    (void)control_(kIoctlUnbind, &request);
}

void UringEventChannels::notify(Port local) noexcept {
    IoctlPort request{local.raw()};
    // A peer that is gone needs no signal.
    (void)control_(kIoctlNotify, &request);
}

void UringEventChannels::read_next() {
    if (read_directly_) return loop_.poll(device_.get(), POLLIN, reading_);
    const iovec part{ready_.data(), sizeof(ready_)};
    loop_.read(device_.get(), {&part, 1}, static_cast<uint64_t>(-1), reading_);
}

void UringEventChannels::arrived(int32_t result) {
    if (result == -EAGAIN) {
        // A kernel whose io_uring does not wait for such a file by itself.
        read_directly_ = true;
    } else if (read_directly_ && result > 0) {
        result = static_cast<int32_t>(::read(device_.get(), ready_.data(), sizeof(ready_)));
    }
    if (result == -ECANCELED || result == -EBADF) return;
    const size_t count = result > 0 ? static_cast<size_t>(result) / sizeof(uint32_t) : 0;
    std::exception_ptr problem;
    for (size_t i = 0; i < count; ++i) {
        const auto found = handlers_.find(ready_[i]);
        if (found == handlers_.end()) continue;  // unbound by a handler before
        const Handler handler = found->second;   // it may unbind itself
        to_unmask_.push_back(ready_[i]);
        try {
            handler();
        } catch (...) {
            // The others have their events, and all may be signalled again, before the loop is told.
            problem = std::current_exception();
        }
    }
    // Only now, so that a peer that signals all the time is heard once for each turn of the loop. A signal
    // that came meanwhile is pending and fires at once.
    unmask();
    read_next();
    if (problem) std::rethrow_exception(problem);
}

void UringEventChannels::unmask() {
    if (unmasked_.running || to_unmask_.empty()) return;
    unmasked_.running = true;
    unmasking_ = std::exchange(to_unmask_, {});
    const iovec part{unmasking_.data(), unmasking_.size() * sizeof(uint32_t)};
    loop_.write(device_.get(), {&part, 1}, static_cast<uint64_t>(-1), unmasked_);
}

void UringEventChannels::Unmasking::done(int32_t) {
    running = false;
    owner_.unmask();
}

}  // namespace torii::backend
