#include "arch/x86/hw/clock.h"

#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/registers.h"
#include "core/domain/time.h"
#include "port/machine.h"

namespace torii {

constinit ClockScale clock_scale;

namespace hw {

constinit ClockFacts clock_facts;

uint64_t tsc_khz() {
    return clock_facts.tsc_khz;
}
uint64_t wall_clock_seconds() {
    return clock_facts.boot_seconds;
}

}  // namespace hw

Nanoseconds now() {
    uint64_t tsc = hw::read_tsc();
    if (!clock_scale.stable) [[unlikely]]
        tsc -= static_cast<uint64_t>(hw::local().tsc_offset);
    return clock_scale.nanoseconds_at(tsc);
}
int64_t timestamp_offset() {
    return hw::local().tsc_offset;
}

}  // namespace torii
