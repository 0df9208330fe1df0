// What the scheduler asks of the rest of the hypervisor, beside the machine (port/machine.h). Wired in
// core/domain; tests define their own.
#pragma once

namespace torii {

struct SchedUnit;

// Runs `to` in place of `from` on this CPU, and returns when `from` runs again. `from` has its new run state
// by now, so this is the place to publish it in the guest's memory: of `from` before its address space goes,
// of `to` after its own has come. No lock is held, interrupts are off.
void sched_switch_to(SchedUnit& from, SchedUnit& to);

}  // namespace torii
