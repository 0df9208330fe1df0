// Reading a vCPU's whole state from outside (domctl getvcpucontext); vcpu_context.h sets it.
#pragma once

#include <torii/abi/trap.h>

#include "core/domain/domain.h"

namespace torii::pv {

// The context of a vCPU that doesn't run and that no CPU holds registers of. Every byte of `context` is
// written.
void save_guest_context(const Vcpu& vcpu, abi::VcpuGuestContext& context);

}  // namespace torii::pv
