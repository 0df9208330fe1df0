#pragma once
// The control ring (public io/netif.h): a front end sets how its frames are hashed and steered to queues. On
// the device thread.

#include <torii/abi/io/netif.h>
#include <torii/ring/back_ring.h>

#include <functional>
#include <memory>

#include "common/event_channels.h"
#include "common/guest_memory.h"
#include "net/flow_hash.h"

namespace torii::backend::net {

class ControlRing {
public:
    // `changed` is called after requests that changed `settings`.
    ControlRing(GuestMemory& memory, std::unique_ptr<GrantMapping> page, uint32_t queues,
                HashSettings& settings, std::function<void()> changed);

    void set_port(BoundPort port) { port_ = std::move(port); }
    // What the ring holds; at most a ring full. False: the guest broke the ring.
    bool serve();
    // Signals, whatever the ring says.
    void notify() { port_.notify(); }

private:
    using Ring = ring::BackRing<abi::NetControlRequest, abi::NetControlResponse>;

    abi::NetControlStatus carry_out(const abi::NetControlRequest& request, uint32_t& data);
    abi::NetControlStatus set_algorithm(uint32_t algorithm);
    abi::NetControlStatus set_types(uint32_t types);
    abi::NetControlStatus set_key(GrantRef page, uint32_t size);
    abi::NetControlStatus set_mapping_size(uint32_t entries);
    abi::NetControlStatus set_mapping(GrantRef page, uint32_t entries, uint32_t first);
    bool copy_from(GrantRef page, void* to, size_t size);

    GuestMemory& memory_;
    std::unique_ptr<GrantMapping> page_;
    Ring ring_;
    const uint32_t queues_;
    HashSettings& settings_;
    std::function<void()> changed_;
    BoundPort port_;
};

}  // namespace torii::backend::net
