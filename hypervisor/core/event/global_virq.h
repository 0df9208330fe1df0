// Virtual interrupts that report on the machine rather than on a domain: console input, a domain's end,
// memory running low. Each goes to one domain: dom0, unless another was named its handler (domctl
// set_virq_handler).
#pragma once

#include <torii/abi/virq.h>

#include <array>

#include "base/lock.h"
#include "core/event/event_channel.h"

namespace torii {

class GlobalVirqs {
public:
    // The domain that gets what nobody else was named for. Set once, when dom0 is created.
    void set_default_handler(EventTable& table) {
        LockGuard guard(lock_);
        default_ = &table;
    }
    // kEINVAL: no such VIRQ, or one that every domain, or every vCPU, has for itself.
    [[nodiscard]] Result<> set_handler(uint32_t virq, EventTable& table);
    // The table goes away: what it handled goes to the default again.
    void forget(const EventTable& table);
    // Not to be called with any lock of rank kEventPorts or below held.
    void raise(abi::Virq virq);

private:
    Spinlock lock_{LockRank::kEventPorts};
    EventTable* default_ = nullptr;
    std::array<EventTable*, abi::kVirqCount> handlers_{};
};

extern GlobalVirqs global_virqs;

}  // namespace torii
