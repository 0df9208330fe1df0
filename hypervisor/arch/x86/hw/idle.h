// What a CPU does when no vCPU wants it.
#pragma once

#include "base/ids.h"

namespace torii::hw {

// Makes the scheduler and the idle unit of a CPU; from the boot CPU, before the other runs.
void prepare_scheduler(CpuId cpu);
// On the CPU's idle stack, everything set up.
[[noreturn]] void idle();

}  // namespace torii::hw
