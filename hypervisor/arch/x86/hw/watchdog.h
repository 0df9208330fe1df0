// Each CPU looks after the next one: whether it still takes timer interrupts.
//
// Off unless the option `watchdog` is given, because it takes a timer on CPUs that have nothing to do
// otherwise.
#pragma once

namespace torii::hw {

// On each CPU, once its timer works.
void start_watchdog();

}  // namespace torii::hw
