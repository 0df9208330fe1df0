// vcpu_op: rdi names the operation, rsi the vCPU of the caller's own domain, rdx the structure (public
// vcpu.h).
#include <torii/abi/trap.h>
#include <torii/abi/vcpu.h>

#include "arch/x86/pv/vcpu_context.h"
#include "base/bounded_index.h"
#include "base/once.h"
#include "base/scope_guard.h"
#include "core/call/guest_ptr.h"
#include "core/call/handlers.h"
#include "core/call/platform_hooks.h"
#include "core/domain/privilege.h"
#include "core/domain/time.h"
#include "core/domain/vcpu_areas.h"
#include "core/domain/vcpu_info.h"
#include "core/domain/vcpu_run.h"
#include "core/memory/heap.h"
#include "port/machine.h"
#include "port/platform.h"

namespace torii::call {
namespace {

using abi::VcpuOp;

// A tick faster than this would leave the guest no time to do anything else.
constexpr uint64_t kShortestPeriod = 1'000'000;
constexpr uint64_t kLongestPeriod = uint64_t{1} << 60;

Vcpu* find_vcpu(const Domain& domain, uint32_t id) {
    if (id >= domain.vcpu_count) return nullptr;
    return domain.vcpus[bounded(id, domain.vcpu_count)];
}

CallResult initialise(CallContext& context, Vcpu& vcpu) {
    // 5 KiB: too much for the stack.
    auto* const state =
        static_cast<abi::VcpuGuestContext*>(TRY(heap_allocate(sizeof(abi::VcpuGuestContext))));
    const ScopeGuard release([state] { heap_free(state); });
    TRY(GuestIn<abi::VcpuGuestContext>(context.arg<2>()).copy_in(*state));
    if (vcpu.events.info.load() == nullptr) return Errno::kEINVAL;
    const LockGuard guard(context.domain().control_lock);
    if (vcpu.initialised) return Errno::kEEXIST;
    TRY(pv::set_vcpu_context(vcpu, *state));
    return 0;
}

CallResult bring_up(Vcpu& vcpu) {
    const LockGuard guard(vcpu.domain->control_lock);
    if (!vcpu.initialised) return Errno::kEINVAL;
    start_vcpu(vcpu);
    return 0;
}

CallResult bring_down(Vcpu& vcpu) {
    Domain& domain = *vcpu.domain;
    bool last = true;
    {
        const LockGuard guard(domain.control_lock);
        for (uint32_t i = 0; i < domain.vcpu_count; ++i) {
            const Vcpu* const other = domain.vcpus[i];
            if (other != nullptr && other != &vcpu && other->up.load()) last = false;
        }
        if (!last) stop_vcpu_for_guest(vcpu);
    }
    // A domain without a vCPU can't bring one up again: it has powered itself off.
    if (last) shut_down_domain(domain, static_cast<uint32_t>(abi::ShutdownReason::kPoweroff));
    return 0;
}

CallResult get_runstate(CallContext& context, const Vcpu& vcpu) {
    const abi::VcpuRunstateInfo info = sched_runstate(vcpu.unit);
    TRY(GuestOut<abi::VcpuRunstateInfo>(context.arg<2>()).copy_out(info));
    return 0;
}

CallResult register_runstate_area(CallContext& context, Vcpu& vcpu) {
    abi::VcpuRegisterRunstateMemoryArea request;
    TRY(GuestIn<abi::VcpuRegisterRunstateMemoryArea>(context.arg<2>()).copy_in(request));
    const uint64_t address = request.address.address;
    if (!guest_range_ok(address, sizeof(abi::VcpuRunstateInfo))) return Errno::kEFAULT;
    write_once(vcpu.runstate_area, address);  // the vCPU itself may be about to write there
    // A first answer at once. It is no error when it can't be written: the area may be mapped later.
    if (&vcpu == &context.vcpu) {
        publish_runstate_area(vcpu);
    } else if (address != 0) {
        const abi::VcpuRunstateInfo info = sched_runstate(vcpu.unit);
        (void)GuestOut<abi::VcpuRunstateInfo>(address).copy_out(info).ok();
    }
    return 0;
}

// The clock's parameters never change after boot, so writing the area once is writing it always.
CallResult register_time_area(CallContext& context, Vcpu& vcpu) {
    abi::VcpuRegisterTimeMemoryArea request;
    TRY(GuestIn<abi::VcpuRegisterTimeMemoryArea>(context.arg<2>()).copy_in(request));
    const uint64_t address = request.address.address;
    if (!guest_range_ok(address, sizeof(abi::VcpuTimeInfo))) return Errno::kEFAULT;
    publish_time(vcpu);
    if (vcpu.events.info.load() == nullptr || address == 0) return 0;
    (void)GuestOut<abi::VcpuTimeInfo>(address).copy_out(clock_parameters()).ok();
    return 0;
}

CallResult set_period(CallContext& context, Vcpu& vcpu) {
    abi::VcpuSetPeriodicTimer request;
    TRY(GuestIn<abi::VcpuSetPeriodicTimer>(context.arg<2>()).copy_in(request));
    if (request.period_ns < kShortestPeriod || request.period_ns > kLongestPeriod) return Errno::kEINVAL;
    const LockGuard guard(context.domain().control_lock);
    vcpu.timers.set_period(request.period_ns);
    return 0;
}

CallResult stop_period(CallContext& context, Vcpu& vcpu) {
    const LockGuard guard(context.domain().control_lock);
    vcpu.timers.set_period(0);
    return 0;
}

CallResult set_oneshot(CallContext& context, Vcpu& vcpu) {
    if (&vcpu != &context.vcpu) return Errno::kEINVAL;
    abi::VcpuSetSingleshotTimer request;
    TRY(GuestIn<abi::VcpuSetSingleshotTimer>(context.arg<2>()).copy_in(request));
    // A deadline in the past fires at once, whatever kSingleshotTimerFuture says: so Xen 4.17 was seen to do.
    vcpu.timers.set_oneshot(request.timeout_abs_ns);
    return 0;
}

CallResult stop_oneshot(CallContext& context, Vcpu& vcpu) {
    if (&vcpu != &context.vcpu) return Errno::kEINVAL;
    vcpu.timers.set_oneshot(kNever);
    return 0;
}

CallResult register_info(CallContext& context, Vcpu& vcpu) {
    abi::VcpuRegisterVcpuInfo request;
    TRY(GuestIn<abi::VcpuRegisterVcpuInfo>(context.arg<2>()).copy_in(request));
    // What is copied must not change under the copy: only by the vCPU itself, or while it is down.
    if (&vcpu != &context.vcpu && vcpu.up.load()) return Errno::kEINVAL;
    const LockGuard guard(context.domain().control_lock);
    TRY(register_vcpu_info(vcpu, Mfn(request.mfn), request.offset));
    publish_time(vcpu);
    return 0;
}

// Which CPU that is, for one that can run on no other; the tables that name CPUs are the control domain's.
CallResult get_physical_id(CallContext& context, Vcpu& vcpu) {
    if (!may_use_devices(context.domain())) return Errno::kEINVAL;
    CpuId cpu{};
    {
        const LockGuard guard(cpu_pools_lock);
        if (!Affinity(vcpu.unit).only_cpu(cpu)) return Errno::kEINVAL;
    }
    const CpuIdentity identity = identity_of(cpu);
    const abi::VcpuGetPhysid answer{uint64_t{identity.acpi_id} << 32 | identity.apic_id};
    TRY(GuestOut<abi::VcpuGetPhysid>(context.arg<2>()).copy_out(answer));
    return 0;
}

CallResult send_nmi(Vcpu& vcpu) {
    write_once(vcpu.pv.nmi_pending, true);
    __atomic_fetch_or(&vcpu.entry.exit_work, kWorkNmi, __ATOMIC_SEQ_CST);
    sched_wake(vcpu.unit);
    poke(vcpu);
    return 0;
}

}  // namespace

CallResult vcpu_op(CallContext& context) {
    Vcpu* const vcpu = find_vcpu(context.domain(), context.arg32<1>());
    if (vcpu == nullptr) return Errno::kENOENT;
    switch (static_cast<VcpuOp>(context.arg32<0>())) {
        case VcpuOp::kInitialise:
            return initialise(context, *vcpu);
        case VcpuOp::kUp:
            return bring_up(*vcpu);
        case VcpuOp::kDown:
            return bring_down(*vcpu);
        case VcpuOp::kIsUp:
            return vcpu->up.load() ? 1 : 0;
        case VcpuOp::kGetRunstateInfo:
            return get_runstate(context, *vcpu);
        case VcpuOp::kRegisterRunstateMemoryArea:
            return register_runstate_area(context, *vcpu);
        case VcpuOp::kSetPeriodicTimer:
            return set_period(context, *vcpu);
        case VcpuOp::kStopPeriodicTimer:
            return stop_period(context, *vcpu);
        case VcpuOp::kSetSingleshotTimer:
            return set_oneshot(context, *vcpu);
        case VcpuOp::kStopSingleshotTimer:
            return stop_oneshot(context, *vcpu);
        case VcpuOp::kRegisterVcpuInfo:
            return register_info(context, *vcpu);
        case VcpuOp::kSendNmi:
            return send_nmi(*vcpu);
        case VcpuOp::kGetPhysid:
            return get_physical_id(context, *vcpu);
        case VcpuOp::kRegisterVcpuTimeMemoryArea:
            return register_time_area(context, *vcpu);
    }
    return Errno::kENOSYS;
}

}  // namespace torii::call
