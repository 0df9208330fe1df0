#include "arch/x86/pv/guest_cpuid.h"

namespace torii::pv {

constinit Policies policies;

void make_policies(const HostCpuid& host, const PolicyOptions& options, uint32_t tsc_khz) {
    PolicyOptions for_guests = options;
    for_guests.control_domain = false;
    PolicyOptions for_dom0 = options;
    for_dom0.control_domain = true;
    policies.guest = CpuPolicy::make(host, for_guests);
    policies.control_domain = CpuPolicy::make(host, for_dom0);
    policies.tsc_khz = tsc_khz;
}

const CpuPolicy& policy_of(const Domain& domain) {
    return domain.privileged ? policies.control_domain : policies.guest;
}

CpuidRegisters guest_cpuid(const Vcpu& vcpu, uint32_t leaf, uint32_t subleaf) {
    CpuidViewer viewer;
    viewer.kernel_mode = vcpu.entry.in_kernel_mode != 0;
    viewer.vcpu = vcpu.id.raw();
    viewer.xcr0 = vcpu.pv.xcr0;
    viewer.host_tsc_khz = policies.tsc_khz;
    return policy_of(*vcpu.domain).query(leaf, subleaf, viewer);
}

}  // namespace torii::pv
