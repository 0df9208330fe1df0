#pragma once

#include "core/domain/vcpu.h"

namespace torii {

// Logs the vCPU's last hypercalls and traps, oldest first.
void dump_trace(const Vcpu& vcpu);

}  // namespace torii
