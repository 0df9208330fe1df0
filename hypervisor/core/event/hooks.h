// What event channels ask of the rest of the hypervisor. Declared here, wired in core/domain; tests define
// their own.
#pragma once

#include "base/frame.h"
#include "base/ids.h"
#include "base/result.h"

namespace torii {

class EventTable;
struct EventVcpu;

// A zeroed, page-aligned page for the table's own records; null when memory is out.
[[nodiscard]] void* event_allocate_page();
void event_free_page(void* page);

// A page of the guest's memory that stays mapped, and can't change type or owner, until it is given back.
struct PinnedGuestPage {
    void* address = nullptr;
    uint64_t reference = 0;  // whatever the mapper needs to give the page back
};
[[nodiscard]] Result<PinnedGuestPage> event_pin_guest_page(EventTable& table, Mfn frame);
void event_unpin_guest_page(EventTable& table, PinnedGuestPage page);

// `vcpu` has just got a pending upcall: wake it if it blocks, interrupt it if it runs on another CPU. May be
// called with a port's gate held; takes no lock above LockRank::kTimer.
void event_kick(EventVcpu& vcpu);

// A port that `vcpu` polls has become pending. Same rules as event_kick.
void event_wake_poller(EventVcpu& vcpu);

// The CPU on which `vcpu` runs, or ran last.
[[nodiscard]] CpuId event_cpu_of(EventVcpu& vcpu);

// The port that a device's interrupt was bound to is closed. Called with the table's lock held.
void event_pirq_closed(EventTable& table, uint32_t pirq);

}  // namespace torii
