#pragma once
// Event channels of dom0 as a program sees them. Each event loop has its own: the daemon's
// (dom0/xen/event_channel_device.h), and that of each thread that serves devices.

#include <torii/abi/virq.h>

#include <functional>

#include "common/ids.h"

namespace torii::backend {

class EventChannels {
public:
    virtual ~EventChannels() = default;

    // Called once for each delivered event, from the event loop. The port may be signalled again only after
    // the handler has returned, so a handler looks at its ring after it was called, never before.
    using Handler = std::function<void()>;

    // Local ports bound to something. All throw Failure (kHypercall).
    virtual Port bind_interdomain(DomId remote, Port remote_port, Handler handler) = 0;
    virtual Port bind_virq(abi::Virq virq, Handler handler) = 0;

    virtual void unbind(Port local) noexcept = 0;
    virtual void notify(Port local) noexcept = 0;
};

// A bound local port; unbinds it when it goes.
class BoundPort {
public:
    BoundPort() = default;
    BoundPort(EventChannels& channels, Port local) : channels_(&channels), local_(local) {}
    BoundPort(BoundPort&& other) noexcept { *this = std::move(other); }
    BoundPort& operator=(BoundPort&& other) noexcept {
        if (this != &other) {
            reset();
            channels_ = other.channels_;
            local_ = other.local_;
            other.channels_ = nullptr;
        }
        return *this;
    }
    ~BoundPort() { reset(); }

    void reset() {
        if (channels_ != nullptr) channels_->unbind(local_);
        channels_ = nullptr;
    }
    void notify() const {
        if (channels_ != nullptr) channels_->notify(local_);
    }
    bool bound() const { return channels_ != nullptr; }
    Port local() const { return local_; }

private:
    EventChannels* channels_ = nullptr;
    Port local_;
};

}  // namespace torii::backend
