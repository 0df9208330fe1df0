// Time from the TSC.
#pragma once

#include <torii/abi/shared_info.h>

#include <cstdint>

#include "base/ids.h"

namespace torii::hw {

// Measures the TSC against the PIT; system time starts here.
void start_clock();
[[nodiscard]] uint64_t tsc_khz();
// Seconds since 1970 by the RTC, read once at boot.
[[nodiscard]] uint64_t wall_clock_seconds();

}  // namespace torii::hw
