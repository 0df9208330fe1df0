#pragma once
// A domain's xenstore ring as the store's service wants it: the mapped page and the bound port.

#include <memory>
#include <utility>

#include "xen/event_channels.h"
#include "xen/privileged_calls.h"
#include "xenstore/ring_channel.h"

namespace torii::dom0 {

class StoreRing final : public xenstore::RingChannel {
public:
    StoreRing(OwnedMemory page, BoundPort port) : page_(std::move(page)), port_(std::move(port)) {}

    void* page() noexcept override { return page_.data(); }
    void notify() noexcept override { port_.notify(); }

private:
    OwnedMemory page_;
    BoundPort port_;
};

}  // namespace torii::dom0
