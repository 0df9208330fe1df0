// Time from the TSC.
#pragma once

#include <torii/abi/shared_info.h>

#include <cstdint>

#include "base/ids.h"

namespace torii::hw {

// Measures the TSC by whichever clock there is; system time starts here. After acpi_start().
void start_clock();
struct ClockFacts {
    uint64_t tsc_khz = 0;
    uint64_t boot_seconds = 0;
};
extern ClockFacts clock_facts;  // written by start_clock()
[[nodiscard]] uint64_t tsc_khz();
// Seconds since 1970 by the RTC, read once at boot; 0: it tells none.
[[nodiscard]] uint64_t wall_clock_seconds();

}  // namespace torii::hw
