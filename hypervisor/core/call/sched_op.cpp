// sched_op and set_timer_op: giving up the CPU, waiting, and ending (public sched.h).
#include <torii/abi/sched.h>

#include "base/once.h"
#include "core/call/guest_ptr.h"
#include "core/call/handlers.h"
#include "core/call/target.h"
#include "core/domain/privilege.h"
#include "port/machine.h"

namespace torii::call {
namespace {

using abi::SchedOp;

// A waiter for a lock polls one port; more than this is no use that anybody makes.
constexpr uint32_t kMostPolledPorts = 128;

CallResult block(CallContext& context) {
    Vcpu& vcpu = context.vcpu;
    // Unmasking and blocking are one step for the guest: an event that comes in between ends the sleep.
    if (abi::VcpuInfo* const info = vcpu.events.info.load(); info != nullptr) {
        write_once(info->evtchn_upcall_mask, 0);
    }
    sched_block(vcpu.unit, [&vcpu] { return vcpu.events.upcall_due(); });
    return 0;
}

CallResult shut_down(CallContext& context) {
    abi::SchedShutdown request;
    TRY(GuestIn<abi::SchedShutdown>(context.arg<1>()).copy_in(request));
    // The code is the toolstack's business, but it has eight bits there (public domctl.h,
    // XEN_DOMINF_shutdownmask).
    shut_down_domain(context.domain(), request.reason & 0xff);
    return 0;
}

CallResult latch_shutdown_code(CallContext& context) {
    abi::SchedShutdown request;
    TRY(GuestIn<abi::SchedShutdown>(context.arg<1>()).copy_in(request));
    uint32_t none = Domain::kNoCode;
    // The first one counts: it is nearest to what went wrong.
    context.domain().latched_shutdown_code.compare_exchange_strong(none, request.reason & 0xff);
    return 0;
}

CallResult shut_down_other(CallContext& context) {
    abi::SchedRemoteShutdown request;
    TRY(GuestIn<abi::SchedRemoteShutdown>(context.arg<1>()).copy_in(request));
    const Domain& caller = context.domain();
    // For oneself there is SCHEDOP_shutdown.
    if (request.domain_id == abi::kDomIdSelf || DomId(request.domain_id) == caller.id) return Errno::kESRCH;
    const DomainRef target(TRY(find_target(caller, request.domain_id)));
    if (!may_control_domain(caller, *target)) return Errno::kEPERM;
    shut_down_domain(*target, request.reason & 0xff);
    return 0;
}

CallResult poll(CallContext& context) {
    abi::SchedPoll request;
    TRY(GuestIn<abi::SchedPoll>(context.arg<1>()).copy_in(request));
    if (request.nr_ports > kMostPolledPorts) return Errno::kEINVAL;
    abi::RawPort ports[kMostPolledPorts];
    TRY(GuestArray<abi::RawPort>(request.ports).read_many(0, ports, request.nr_ports));

    Vcpu& vcpu = context.vcpu;
    EventTable& table = context.domain().events;
    const bool pending = TRY(table.start_polling(vcpu.events, std::span(ports, request.nr_ports)));
    if (!pending) {
        if (request.timeout != 0) vcpu.timers.set_poll_end(request.timeout);
        // A port that became pending by now has ended the polling; a timer that fired, or an upcall, must not
        // be slept over either.
        sched_block(vcpu.unit, [&] {
            return !EventTable::is_polling(vcpu.events) || vcpu.events.upcall_due() ||
                   (request.timeout != 0 && request.timeout <= now());
        });
        vcpu.timers.stop_poll();
    }
    table.stop_polling(vcpu.events);
    return 0;
}

CallResult watchdog(CallContext& context) {
    abi::SchedWatchdog request;
    TRY(GuestIn<abi::SchedWatchdog>(context.arg<1>()).copy_in(request));
    Domain& domain = context.domain();
    const LockGuard guard(domain.control_lock);
    if (request.id == 0) {
        if (request.timeout == 0) return Errno::kEINVAL;
        return static_cast<int64_t>(TRY(domain.watchdogs.start(request.timeout)));
    }
    if (request.timeout == 0) {
        TRY(domain.watchdogs.stop(request.id));
    } else {
        TRY(domain.watchdogs.poke(request.id, request.timeout));
    }
    return 0;
}

// Firmware calls that must run on a certain CPU: the caller is there when it returns to the guest.
CallResult pin(CallContext& context) {
    abi::SchedPinOverride request;
    TRY(GuestIn<abi::SchedPinOverride>(context.arg<1>()).copy_in(request));
    if (!may_use_devices(context.domain())) return Errno::kEPERM;
    const LockGuard guard(cpu_pools_lock);
    Affinity affinity(context.vcpu.unit);
    if (request.pcpu < 0) {
        affinity.unpin();
        return 0;
    }
    if (static_cast<uint32_t>(request.pcpu) >= cpu_count()) return Errno::kEINVAL;
    TRY(affinity.pin(CpuId(static_cast<uint32_t>(request.pcpu))));
    return 0;
}

}  // namespace

CallResult sched_op(CallContext& context) {
    switch (static_cast<SchedOp>(context.arg32<0>())) {
        case SchedOp::kYield:
            sched_yield();
            return 0;
        case SchedOp::kBlock:
            return block(context);
        case SchedOp::kShutdown:
            return shut_down(context);
        case SchedOp::kPoll:
            return poll(context);
        case SchedOp::kRemoteShutdown:
            return shut_down_other(context);
        case SchedOp::kShutdownCode:
            return latch_shutdown_code(context);
        case SchedOp::kWatchdog:
            return watchdog(context);
        case SchedOp::kPinOverride:
            return pin(context);
    }
    return Errno::kENOSYS;
}

// The one-shot timer under its old name; zero stops it.
CallResult set_timer_op(CallContext& context) {
    const uint64_t deadline = context.arg<0>();
    context.vcpu.timers.set_oneshot(deadline == 0 ? kNever : deadline);
    return 0;
}

}  // namespace torii::call
