// domctl: who gets how much of which CPU.
#include "core/call/control_bitmap.h"
#include "core/call/domctl_ops.h"
#include "port/machine.h"

namespace torii::call {
namespace {

uint64_t all_cpus() {
    return cpu_count() >= 64 ? ~uint64_t{0} : (uint64_t{1} << cpu_count()) - 1;
}
uint64_t bit_of(CpuId cpu) {
    return uint64_t{1} << (cpu.raw() % 64);
}

uint32_t weight_of(const Domain& domain) {
    for (uint32_t i = 0; i < domain.vcpu_count; ++i) {
        if (domain.vcpus[i] != nullptr) return domain.vcpus[i]->unit.weight();
    }
    return kDefaultWeight;
}

}  // namespace

// A vCPU stays where it was placed, so a set of CPUs is accepted when that place is in it.
CallResult set_vcpu_affinity(DomctlCall& call) {
    const auto& wish = call.request.u.vcpuaffinity;
    constexpr uint32_t kKnown = abi::kVcpuAffinityHard | abi::kVcpuAffinitySoft | abi::kVcpuAffinityForce;
    if ((wish.flags & ~kKnown) != 0 || (wish.flags & (abi::kVcpuAffinityHard | abi::kVcpuAffinitySoft)) == 0)
        return Errno::kEINVAL;
    if (wish.vcpu >= call.domain.vcpu_count) return Errno::kEINVAL;
    const Vcpu* const vcpu = call.domain.vcpu(VcpuId(wish.vcpu));
    if (vcpu == nullptr) return Errno::kESRCH;
    if ((wish.flags & abi::kVcpuAffinityHard) != 0) {
        const uint64_t cpus = TRY(read_bitmap(wish.cpumap_hard)) & all_cpus();
        if ((cpus & bit_of(vcpu->unit.cpu())) == 0) return Errno::kEINVAL;
        TRY(write_bitmap(wish.cpumap_hard, cpus));
    }
    if ((wish.flags & abi::kVcpuAffinitySoft) != 0) {
        const uint64_t cpus = TRY(read_bitmap(wish.cpumap_soft)) & all_cpus();
        if (cpus == 0) return Errno::kEINVAL;
        TRY(write_bitmap(wish.cpumap_soft, cpus));
    }
    return 0;
}

CallResult get_vcpu_affinity(DomctlCall& call) {
    const auto& wish = call.request.u.vcpuaffinity;
    if (wish.vcpu >= call.domain.vcpu_count) return Errno::kEINVAL;
    if (call.domain.vcpu(VcpuId(wish.vcpu)) == nullptr) return Errno::kESRCH;
    if ((wish.flags & abi::kVcpuAffinityHard) != 0) TRY(write_bitmap(wish.cpumap_hard, all_cpus()));
    if ((wish.flags & abi::kVcpuAffinitySoft) != 0) TRY(write_bitmap(wish.cpumap_soft, all_cpus()));
    return 0;
}

CallResult set_node_affinity(DomctlCall& call) {
    if ((TRY(read_bitmap(call.request.u.nodeaffinity.nodemap)) & 1) == 0) return Errno::kEINVAL;
    return 0;
}
CallResult get_node_affinity(DomctlCall& call) {
    TRY(write_bitmap(call.request.u.nodeaffinity.nodemap, 1));
    return 0;
}

// Tools know the scheduler as credit2: a weight, and a cap that is always off.
CallResult scheduler_op(DomctlCall& call) {
    auto& request = call.request.u.scheduler_op;
    if (request.sched_id != static_cast<uint32_t>(abi::SchedulerId::kCredit2)) return Errno::kEINVAL;
    switch (static_cast<abi::DomctlSchedulerCommand>(request.cmd)) {
        case abi::DomctlSchedulerCommand::kGetinfo:
            request.u.credit2 = {.weight = static_cast<uint16_t>(weight_of(call.domain)), .cap = 0};
            call.answers = true;
            return 0;
        case abi::DomctlSchedulerCommand::kPutinfo: {
            const auto& wish = request.u.credit2;
            if (wish.weight == 0) return Errno::kEINVAL;
            if (wish.cap != 0 && wish.cap != 0xffff) return Errno::kEOPNOTSUPP;  // 0xffff: leave it
            const LockGuard guard(call.domain.control_lock);
            for (uint32_t i = 0; i < call.domain.vcpu_count; ++i) {
                if (call.domain.vcpus[i] != nullptr)
                    sched_set_weight(call.domain.vcpus[i]->unit, wish.weight);
            }
            return 0;
        }
        default:
            return Errno::kEINVAL;
    }
}

}  // namespace torii::call
