#include "arch/x86/hw/clock.h"

#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/registers.h"
#include "core/domain/time.h"
#include "port/machine.h"

namespace torii {

constinit ClockScale clock_scale;

namespace hw {
namespace {

constexpr uint64_t kPitHz = 1193182;
constexpr uint16_t kPitChannel2 = 0x42, kPitCommand = 0x43, kPitGate = 0x61;
constexpr uint64_t kCalibrationTicks = kPitHz / 50;  // 20 ms

constinit uint64_t khz = 0;
constinit uint64_t boot_seconds = 0;

uint8_t cmos(uint8_t index) {
    out8(0x70, index);
    return in8(0x71);
}

// Days from 1970 to a civil date (proleptic Gregorian).
uint64_t days_from_civil(uint64_t year, unsigned month, unsigned day) {
    const uint64_t y = month <= 2 ? year - 1 : year;
    const uint64_t m = month <= 2 ? month + 9 : month - 3;
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

uint64_t read_rtc() {
    // An update takes at most 2 ms; a clock that is not there reads all ones and must not hold us up.
    for (unsigned spins = 0; spins < 1000000 && (cmos(0x0a) & 0x80) != 0; ++spins) {
    }
    const bool binary = (cmos(0x0b) & 4) != 0;
    const auto value = [binary](uint8_t raw) -> unsigned {
        return binary ? raw : (raw >> 4) * 10u + (raw & 15);
    };
    const unsigned second = value(cmos(0));
    const unsigned minute = value(cmos(2));
    const unsigned hour = value(cmos(4) & 0x7f);
    const unsigned day = value(cmos(7));
    const unsigned month = value(cmos(8));
    const unsigned year = 2000 + value(cmos(9)) % 100;
    return days_from_civil(year, month, day) * 86400 + hour * 3600ull + minute * 60ull + second;
}

uint64_t ticks_of_one_calibration() {
    // Channel 2, mode 0, gated by port 0x61 bit 0, output seen in bit 5 (Intel 8254 data sheet).
    out8(kPitGate, static_cast<uint8_t>((in8(kPitGate) & ~2u) | 1u));
    out8(kPitCommand, 0xb0);
    out8(kPitChannel2, kCalibrationTicks & 0xff);
    const uint64_t start = read_tsc();
    out8(kPitChannel2, kCalibrationTicks >> 8);
    uint64_t spins = 0;
    while ((in8(kPitGate) & 0x20) == 0 && ++spins < 100000000) {
    }
    return read_tsc() - start;
}

// Whatever holds the CPU up, a busy host below a virtual machine above all, makes the stretch look longer:
// the shortest is right.
uint64_t measure_khz() {
    constexpr unsigned kSamples = 3;
    uint64_t ticks = ~uint64_t{0};
    for (unsigned i = 0; i < kSamples; ++i) {
        const uint64_t sample = ticks_of_one_calibration();
        if (sample < ticks) ticks = sample;
    }
    return ticks * kPitHz / kCalibrationTicks / 1000;
}

}  // namespace

void start_clock() {
    khz = measure_khz();
    boot_seconds = read_rtc();
    clock_scale = make_clock_scale(khz * 1000, read_tsc());
}

uint64_t tsc_khz() {
    return khz;
}
uint64_t wall_clock_seconds() {
    return boot_seconds;
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
