// Switching the machine off, or on again.
#pragma once

#include "core/call/platform_hooks.h"

namespace torii::hw {

[[noreturn]] void reset_machine();
[[noreturn]] void halt_for_ever();
[[nodiscard]] Result<> enter_sleep(const SleepRequest& request);
// Logs who called whom, from a frame pointer of the hypervisor's on; stops at what is none.
void print_backtrace(uint64_t frame_pointer);

}  // namespace torii::hw
