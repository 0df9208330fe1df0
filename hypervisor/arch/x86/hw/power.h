// Switching the machine off, or on again.
#pragma once

#include "core/call/platform_hooks.h"

namespace torii::hw {

[[noreturn]] void reset_machine();
[[noreturn]] void halt_for_ever();
[[nodiscard]] Result<> enter_sleep(const SleepRequest& request);
// Time for a device, or a person, to act. The clock may not run yet, or not any more: the wait ends all the
// same.
void wait_for_device(Nanoseconds longest);

}  // namespace torii::hw
