// domctl: who gets how much of which CPU.
#include "core/call/control_bitmap.h"
#include "core/call/domctl_ops.h"
#include "port/machine.h"

namespace torii::call {
namespace {

Result<Vcpu*> vcpu_of_request(const DomctlCall& call) {
    const uint32_t number = call.request.u.vcpuaffinity.vcpu;
    if (number >= call.domain.vcpu_count) return Errno::kEINVAL;
    Vcpu* const vcpu = call.domain.vcpu(VcpuId(number));
    if (vcpu == nullptr) return Errno::kESRCH;
    return vcpu;
}

// Tells what the new affinities come to, before they are set: a place that can't be written then means that
// nothing has changed. `hard` and `soft`, if wished for, hold what is to be set.
[[gnu::cold]] Result<> tell_effective(const abi::DomctlVcpuaffinity& wish, const Affinity& affinity,
                                      const CpuMask& hard, const CpuMask& soft, const CpuMask& pool) {
    CpuMask effective;
    if ((wish.flags & abi::kVcpuAffinityHard) != 0) {
        effective.assign(hard);
        effective.keep(pool);
        TRY(write_bitmap(wish.cpumap_hard, effective));
    } else {
        affinity.effective_hard(effective);
    }
    if ((wish.flags & abi::kVcpuAffinitySoft) == 0) return {};
    effective.keep(soft);
    return write_bitmap(wish.cpumap_soft, effective);
}

}  // namespace

[[gnu::cold]] CallResult set_vcpu_affinity(DomctlCall& call) {
    const auto& wish = call.request.u.vcpuaffinity;
    constexpr uint32_t kBoth = abi::kVcpuAffinityHard | abi::kVcpuAffinitySoft;
    const bool sets_hard = (wish.flags & abi::kVcpuAffinityHard) != 0;
    const bool sets_soft = (wish.flags & abi::kVcpuAffinitySoft) != 0;
    const bool forced = (wish.flags & abi::kVcpuAffinityForce) != 0;
    if ((wish.flags & ~(kBoth | abi::kVcpuAffinityForce)) != 0 || (wish.flags & kBoth) == 0)
        return Errno::kEINVAL;
    Vcpu& vcpu = *TRY(vcpu_of_request(call));
    CpuMask hard;
    CpuMask soft;
    if (sets_hard) TRY(read_bitmap(wish.cpumap_hard, cpu_count(), hard));
    if (sets_soft) TRY(read_bitmap(wish.cpumap_soft, cpu_count(), soft));

    const LockGuard guard(cpu_pools_lock);
    Affinity affinity(vcpu.unit);
    if (sets_hard) TRY(affinity.check(hard, !forced));
    if (sets_soft) TRY(affinity.check(soft, false));
    TRY(tell_effective(wish, affinity, hard, soft, call.domain.sched.pool().cpus));
    if (forced) affinity.unpin();
    if (sets_hard) affinity.set_hard(hard);
    if (sets_soft) affinity.set_soft(soft);
    return 0;
}

[[gnu::cold]] CallResult get_vcpu_affinity(DomctlCall& call) {
    const auto& wish = call.request.u.vcpuaffinity;
    Vcpu& vcpu = *TRY(vcpu_of_request(call));
    CpuMask cpus;
    const LockGuard guard(cpu_pools_lock);
    const Affinity affinity(vcpu.unit);
    if ((wish.flags & abi::kVcpuAffinityHard) != 0) {
        affinity.hard(cpus);
        TRY(write_bitmap(wish.cpumap_hard, cpus));
    }
    if ((wish.flags & abi::kVcpuAffinitySoft) != 0) {
        affinity.soft(cpus);
        TRY(write_bitmap(wish.cpumap_soft, cpus));
    }
    return 0;
}

// All memory is one node.
[[gnu::cold]] CallResult set_node_affinity(DomctlCall& call) {
    CpuMask nodes;
    TRY(read_bitmap(call.request.u.nodeaffinity.nodemap, 1, nodes));
    if (nodes.is_empty()) return Errno::kEINVAL;
    return 0;
}
[[gnu::cold]] CallResult get_node_affinity(DomctlCall& call) {
    CpuMask nodes;
    nodes.assign_first(1);
    TRY(write_bitmap(call.request.u.nodeaffinity.nodemap, nodes));
    return 0;
}

// Tools know the scheduler as credit2. Its settings are those of the domain: asking for those of single vCPUs
// is an error (public domctl.h).
[[gnu::cold]] CallResult scheduler_op(DomctlCall& call) {
    auto& request = call.request.u.scheduler_op;
    if (request.sched_id != static_cast<uint32_t>(abi::SchedulerId::kCredit2)) return Errno::kEINVAL;
    SchedGroup& group = call.domain.sched;
    const LockGuard guard(call.domain.control_lock);
    switch (static_cast<abi::DomctlSchedulerCommand>(request.cmd)) {
        case abi::DomctlSchedulerCommand::kGetinfo:
            request.u.credit2 = {.weight = static_cast<uint16_t>(group.weight()),
                                 .cap = static_cast<uint16_t>(group.cap())};
            call.answers = true;
            return 0;
        case abi::DomctlSchedulerCommand::kPutinfo: {
            // A cap of zero takes it away, all ones leave it as it is.
            const auto& wish = request.u.credit2;
            constexpr uint16_t kLeaveCap = 0xffff;
            if (wish.weight == 0) return Errno::kEINVAL;
            group.set_weight(wish.weight);
            if (wish.cap != kLeaveCap) group.set_cap(wish.cap);
            return 0;
        }
        default:
            return Errno::kEINVAL;
    }
}

}  // namespace torii::call
