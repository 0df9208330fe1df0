// What CPUID and CR4 show to a vCPU: its domain's policy (cpu_policy.h) with what is the vCPU's own put in.
#pragma once

#include "arch/x86/pv/cpu_policy.h"
#include "core/domain/domain.h"

namespace torii::pv {

// The policies, made once at boot: dom0's, and everyone else's.
struct Policies {
    CpuPolicy control_domain;
    CpuPolicy guest;
    uint32_t tsc_khz = 0;
};
extern Policies policies;

void make_policies(const HostCpuid& host, const PolicyOptions& options, uint32_t tsc_khz);

[[nodiscard]] const CpuPolicy& policy_of(const Domain& domain);
[[nodiscard]] CpuidRegisters guest_cpuid(const Vcpu& vcpu, uint32_t leaf, uint32_t subleaf);

}  // namespace torii::pv
