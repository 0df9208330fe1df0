// A vCPU's vcpu_info outside of the shared page (VCPUOP_register_vcpu_info, public vcpu.h).
#pragma once

#include "core/domain/domain.h"

namespace torii {

// Moves the vCPU's information to `offset` in the guest's frame `mfn`, once. EINVAL: registered already, bad
// offset or frame.
[[nodiscard]] Result<> register_vcpu_info(Vcpu& vcpu, Mfn mfn, uint32_t offset);
// At the end of the domain.
void release_vcpu_info(Vcpu& vcpu);

}  // namespace torii
