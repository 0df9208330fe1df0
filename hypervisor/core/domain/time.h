// The guests' clock: how TSC ticks become system time (public xen.h, vcpu_time_info).
#pragma once

#include <torii/abi/shared_info.h>

#include <cstdint>

#include "base/ids.h"
#include "core/domain/domain.h"

namespace torii {

// nanoseconds = ((tsc - origin) << shift) * multiplier >> 32, the guests' own formula.
struct ClockScale {
    uint64_t origin = 0;
    uint32_t multiplier = 0;
    int8_t shift = 0;
    bool stable = true;  // all CPUs read the same TSC
    uint64_t frequency = 0;

    [[nodiscard]] Nanoseconds nanoseconds_at(uint64_t tsc) const {
        const uint64_t delta = tsc - origin;
        const uint64_t shifted = shift >= 0 ? delta << shift : delta >> -shift;
        return static_cast<uint64_t>((static_cast<unsigned __int128>(shifted) * multiplier) >> 32);
    }
};
extern ClockScale clock_scale;  // written once at boot

[[nodiscard]] constexpr ClockScale make_clock_scale(uint64_t hertz, uint64_t origin) {
    // The multiplier is 2^32 * 10^9 / hertz, brought into its 32 bits by the shift.
    ClockScale scale;
    scale.origin = origin;
    scale.frequency = hertz;
    uint64_t frequency = hertz;
    while (frequency > 2'000'000'000) {
        frequency >>= 1;
        --scale.shift;
    }
    while (frequency <= 1'000'000'000) {
        frequency <<= 1;
        ++scale.shift;
    }
    // One less bit of shift when rounding made the multiplier overflow can't happen: frequency > 10^9 here.
    scale.multiplier = static_cast<uint32_t>((uint64_t{1'000'000'000} << 32) / frequency);
    return scale;
}

// What guests are told of the clock, on the calling CPU.
[[nodiscard]] abi::VcpuTimeInfo clock_parameters();
// Writes the vCPU's pvclock to its information, and to the area it registered.
void publish_time(Vcpu& vcpu);
}  // namespace torii
