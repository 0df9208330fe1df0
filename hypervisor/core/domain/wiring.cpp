// Where the parts that don't know a domain are told about it: the hooks of core/event and core/sched.
#include "core/domain/wiring.h"

#include "base/scope_guard.h"
#include "core/call/counters.h"
#include "core/domain/domain.h"
#include "core/domain/vcpu_areas.h"
#include "core/event/hooks.h"
#include "core/memory/heap.h"
#include "core/sched/hooks.h"
#include "port/frames.h"
#include "port/machine.h"
#include "port/platform.h"

namespace torii {

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored \
    "-Winvalid-offsetof"  // Vcpu has no base classes; both compilers define its offsets
Vcpu& vcpu_of(EventVcpu& events) {
    return *reinterpret_cast<Vcpu*>(reinterpret_cast<char*>(&events) - offsetof(Vcpu, events));
}
Vcpu* vcpu_of(SchedUnit& unit) {
    if (&unit == &idle_unit()) return nullptr;
    return reinterpret_cast<Vcpu*>(reinterpret_cast<char*>(&unit) - offsetof(Vcpu, unit));
}
Domain& domain_of(EventTable& table) {
    return *reinterpret_cast<Domain*>(reinterpret_cast<char*>(&table) - offsetof(Domain, events));
}
#pragma GCC diagnostic pop

void* event_allocate_page() {
    Result<void*> page = heap_allocate(kPageSize);
    return page.ok() ? page.value() : nullptr;
}

void event_free_page(void* page) {
    heap_free(page);
}

Result<PinnedGuestPage> event_pin_guest_page(EventTable& table, Mfn mfn) {
    FrameRef frame = FrameRef::take(mfn, domain_of(table).id);
    if (!frame || !get_writable(*frame)) return Errno::kEINVAL;
    void* const address = permanent_map(mfn);
    if (address == nullptr) {
        put_writable(*frame);
        return Errno::kENOMEM;
    }
    return PinnedGuestPage{address, mfn_of(*frame.release()).raw()};
}

void event_unpin_guest_page(EventTable& table, PinnedGuestPage page) {
    (void)table;
    permanent_unmap(page.address);
    Frame& frame = frame_at(Mfn(page.reference));
    put_writable(frame);
    put_frame(frame);
}

void event_kick(EventVcpu& events) {
    Vcpu& vcpu = vcpu_of(events);
    sched_wake(vcpu.unit);
    if (vcpu.unit.is_running()) poke(vcpu);
}

CpuId event_cpu_of(EventVcpu& events) {
    return vcpu_of(events).unit.cpu();
}

void event_wake_poller(EventVcpu& events) {
    sched_wake(vcpu_of(events).unit);
}

void sched_switch_to(SchedUnit& from, SchedUnit& to) {
    Vcpu* const leaving = vcpu_of(from);
    count_event(EventKind::kContextSwitch);
    if (leaving != nullptr) publish_runstate_area(*leaving);
    switch_context(leaving, vcpu_of(to));
    if (leaving != nullptr) vcpu_arrives(*leaving);
}

}  // namespace torii
