// The roots of a vCPU's address spaces, and its LDT.
#pragma once

#include "base/result.h"
#include "core/domain/domain.h"

namespace torii::pv {

// MMUEXT_NEW_BASEPTR / NEW_USER_BASEPTR: take a validated L4 (validating it first where needed: ERESTART),
// load it if that mode is active, drop the old one. A user root of frame 0 means none.
[[nodiscard]] Result<> set_kernel_root(Vcpu& vcpu, Mfn mfn);
[[nodiscard]] Result<> set_user_root(Vcpu& vcpu, Mfn mfn);
// At the end of a vCPU, which isn't running anywhere.
void release_roots(Vcpu& vcpu);

// Gives up the references on mapped LDT pages. The CPU's own LDT window is `load_ldt`'s matter.
void release_ldt_pages(Vcpu& vcpu);
// A fault in the LDT window: maps page `page` of the vCPU's LDT if the guest's address space has it, as a
// descriptor page.
[[nodiscard]] bool fault_in_ldt_page(Vcpu& vcpu, unsigned page);

}  // namespace torii::pv
