// GDT and LDT of a vCPU: frames of type segdesc, whose descriptors were all checked
// (arch/x86/pv/descriptors.h).
#pragma once

#include "base/result.h"
#include "core/domain/domain.h"

namespace torii::pv {

// set_gdt: takes the frames, loads the table if the vCPU is the current one, drops the old ones. EINVAL: a
// frame that isn't the domain's, or that holds a descriptor which is not allowed.
[[nodiscard]] Result<> set_gdt_frames(Vcpu& vcpu, const Mfn* frames, uint32_t entries);
void release_gdt_pages(Vcpu& vcpu);

}  // namespace torii::pv
