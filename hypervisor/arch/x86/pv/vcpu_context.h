// A vCPU's whole state from outside: VCPUOP_initialise and domctl setvcpucontext.
#pragma once

#include <torii/abi/trap.h>

#include "base/result.h"
#include "core/domain/domain.h"

namespace torii::pv {

// Checks `context` and makes it the state of `vcpu`, which doesn't run. EINVAL: something in it isn't
// allowed; ERESTART: its page tables are still being validated, call again. A vCPU whose context was refused
// stays as it was, apart from its GDT and page-table roots.
[[nodiscard]] Result<> set_vcpu_context(Vcpu& vcpu, const abi::VcpuGuestContext& context);

}  // namespace torii::pv
