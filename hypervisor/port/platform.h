// What the life of domains and vCPUs asks of the machine. Defined by arch/x86/hw and tests/fakes.
#pragma once

#include "base/result.h"
#include "core/domain/vcpu.h"

namespace torii {

// The stack and the FPU area of a new vCPU. ENOMEM.
[[nodiscard]] Result<> create_vcpu_platform(Vcpu& vcpu);
// It runs nowhere and never will again.
void destroy_vcpu_platform(Vcpu& vcpu);
// The registers that the CPU may still hold for a vCPU that doesn't run now go to memory, and its address
// space is left everywhere.
void forget_vcpu_on_cpus(Vcpu& vcpu);

// Leaves the stack of `from` for that of `to`, with all that belongs to them; null stands for idle. Returns
// when `from` runs again.
void switch_context(Vcpu* from, Vcpu* to);
// The calling CPU's idle unit.
[[nodiscard]] SchedUnit& idle_unit();
// Makes the CPU that runs `vcpu` look at its exit work, wherever that is.
void poke(Vcpu& vcpu);

// The control domain ended with this code (abi::ShutdownReason): the machine goes off, restarts or stays, as
// the boot options say.
[[noreturn]] void shut_down_machine(uint32_t code);

}  // namespace torii
