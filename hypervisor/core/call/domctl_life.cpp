// domctl: the life of a domain.
#include <torii/abi/virq.h>

#include "base/once.h"
#include "core/call/domctl_ops.h"
#include "core/call/wall_clock.h"
#include "core/event/global_virq.h"
#include "port/platform.h"

namespace torii::call {
namespace {

// vCPUs made before others may run again.
constexpr uint32_t kVcpusPerTurn = 16;

}  // namespace

CallResult destroy_domain_op(DomctlCall& call) {
    TRY(call.not_self());
    // Nothing left to do but to wait for those who still map its frames.
    if (call.domain.life.load() == Life::kDead) return 0;
    const Result<> destroyed = destroy_domain(call.domain);
    // There is more to do: the tool is to call again, as libxc does. A call that went on by itself would keep
    // every other task of a Linux built with CONFIG_PREEMPT_DYNAMIC waiting until the last frame is given up.
    if (destroyed.error() == Errno::kERESTART) return Errno::kEAGAIN;
    TRY(destroyed);
    return 0;
}

CallResult pause_domain_op(DomctlCall& call) {
    TRY(call.not_self());
    constexpr uint32_t kMostPauses = 255;
    const LockGuard guard(call.domain.control_lock);
    if (call.domain.life.load() >= Life::kDying) return Errno::kESRCH;
    if (call.domain.pauses.load() >= kMostPauses) return Errno::kEOVERFLOW;
    pause_domain(call.domain);
    return 0;
}

CallResult unpause_domain_op(DomctlCall& call) {
    TRY(call.not_self());
    const LockGuard guard(call.domain.control_lock);
    if (call.domain.life.load() >= Life::kDying) return Errno::kESRCH;
    // Every other pause ends in the call that made it, so under this lock what is left was asked for by a
    // tool.
    if (call.domain.pauses.load() == 0) return Errno::kEINVAL;
    unpause_domain(call.domain);
    return 0;
}

CallResult resume_domain_op(DomctlCall& call) {
    TRY(call.not_self());
    const LockGuard guard(call.domain.control_lock);
    if (call.domain.crashing.load() || call.domain.life.load() >= Life::kDying) return Errno::kEINVAL;
    resume_domain(call.domain);
    return 0;
}

CallResult set_max_memory(DomctlCall& call) {
    // A limit below what the domain has is allowed: it then gets no more until it has given some back.
    const uint64_t frames = call.request.u.max_mem.max_memkb >> (kPageShift - 10);
    const LockGuard guard(call.domain.page_list_lock);
    write_once(call.domain.frame_limit, frames);
    return 0;
}

CallResult set_max_vcpus(DomctlCall& call) {
    TRY(call.not_self());
    // The number was fixed at creation; this makes them.
    if (call.request.u.max_vcpus.max != call.domain.vcpu_count) return Errno::kEINVAL;
    const LockGuard guard(call.domain.control_lock);
    if (call.domain.life.load() >= Life::kDying) return Errno::kEINVAL;
    Budget budget(kVcpusPerTurn);
    for (uint32_t i = 0; i < call.domain.vcpu_count; ++i) {
        if (call.domain.vcpus[i] != nullptr) continue;
        if (!budget.spend(1)) return Errno::kERESTART;
        (void)TRY(create_vcpu(call.domain, VcpuId(i)));
    }
    return 0;
}

CallResult set_handle(DomctlCall& call) {
    const LockGuard guard(call.domain.control_lock);
    call.domain.handle = call.request.u.setdomainhandle.handle;
    return 0;
}

CallResult set_time_offset(DomctlCall& call) {
    {
        const LockGuard guard(call.domain.control_lock);
        call.domain.time_offset_seconds = call.request.u.settimeoffset.time_offset_seconds;
    }
    publish_wall_clock(call.domain);
    return 0;
}

CallResult set_virq_handler(DomctlCall& call) {
    TRY(global_virqs.set_handler(call.request.u.set_virq_handler.virq, call.domain.events));
    // The end of a domain takes its table out after it has changed the domain's life: one of the two sees the
    // other.
    if (call.domain.life.load() < Life::kDying) return 0;
    global_virqs.forget(call.domain.events);
    return Errno::kESRCH;
}

CallResult send_trigger(DomctlCall& call) {
    const auto& wish = call.request.u.sendtrigger;
    Vcpu* const vcpu = TRY(call.vcpu(wish.vcpu));
    if (wish.trigger != static_cast<uint32_t>(abi::TriggerKind::kNmi)) return Errno::kEOPNOTSUPP;
    if (read_once(vcpu->pv.nmi_callback) == 0) return Errno::kENXIO;  // nobody would take it
    write_once(vcpu->pv.nmi_pending, true);
    __atomic_fetch_or(&vcpu->entry.exit_work, kWorkNmi, __ATOMIC_RELAXED);
    sched_wake(vcpu->unit);
    poke(*vcpu);
    return 0;
}

}  // namespace torii::call
