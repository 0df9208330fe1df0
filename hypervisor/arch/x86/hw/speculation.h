// Speculative side channels: what is on, on this machine.
#pragma once

#include "arch/x86/pv/speculation.h"
#include "core/domain/vcpu.h"

namespace torii::hw {

struct CpuLocal;

extern pv::SpeculationPlan speculation;  // decided once at boot, before the address space is built

// From the CPU and the options; says in the log what is on, and why what is off is off. The memory map is
// known.
void decide_speculation(const pv::SpeculationWishes& wishes);

// Before `next` runs on this CPU: what another domain taught the branch predictors goes.
void barrier_between(CpuLocal& cpu, const Vcpu& next);

[[nodiscard]] pv::HostCpuid read_host_cpuid();

}  // namespace torii::hw
