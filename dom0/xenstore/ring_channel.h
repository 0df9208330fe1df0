#pragma once
// What the service needs of a domain's xenstore ring: the shared page and a way to wake the other side.

namespace torii::dom0::xenstore {

// Implemented over /dev/xen/* by the daemon and in plain memory by tests. Destroying it unmaps the page and
// closes the port.
class RingChannel {
public:
    RingChannel() = default;
    RingChannel(const RingChannel&) = delete;
    RingChannel& operator=(const RingChannel&) = delete;
    virtual ~RingChannel() = default;

    // Start of the 4096-byte page that holds xenstore_domain_interface (public io/xs_wire.h). The same
    // address for the life of the channel. The other side may change every byte at any time.
    [[nodiscard]] virtual void* page() noexcept = 0;

    // Sends an event to the other side.
    virtual void notify() noexcept = 0;
};

}  // namespace torii::dom0::xenstore
