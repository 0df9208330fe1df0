// Switching the machine off, or on again.
#pragma once

#include "core/call/platform_hooks.h"

namespace torii::hw {

[[noreturn]] void reset_machine();
[[noreturn]] void halt_for_ever();
[[nodiscard]] Result<> enter_sleep(const SleepRequest& request);
void print_backtrace();

}  // namespace torii::hw
