// How fast the time stamp counter runs: measured against the first clock of known rate that the machine has,
// or told by the CPU. Pure arithmetic over an access object, so that tests run it on machines that lack this
// or that.
//
// Sources: IA-PC HPET specification 1.0a, sections 2.3.4 and 2.3.7; ACPI specification 6.4, section 4.8.3.3
// (power management timer); Intel 8254 data sheet; Intel SDM vol. 2, CPUID leaves 15H and 16H.
#pragma once

#include <cstdint>
#include <string_view>

namespace torii::hw {

enum class TimeSource : uint8_t { kNone, kHpet, kPmTimer, kPit, kCrystal, kNominal };

[[nodiscard]] constexpr std::string_view name_of(TimeSource source) {
    switch (source) {
        case TimeSource::kHpet:
            return "measured by the HPET";
        case TimeSource::kPmTimer:
            return "measured by the ACPI PM timer";
        case TimeSource::kPit:
            return "measured by the PIT";
        case TimeSource::kCrystal:
            return "as CPUID leaf 0x15 tells";
        case TimeSource::kNominal:
            return "as CPUID leaf 0x16 tells";
        case TimeSource::kNone:
            break;
    }
    return "unknown";
}

struct TscRate {
    uint64_t khz = 0;
    TimeSource source = TimeSource::kNone;
};

// A counter of known rate. Not there: femtoseconds_per_tick is zero.
struct ReferenceClock {
    uint64_t femtoseconds_per_tick = 0;
    uint64_t mask = 0;  // of its bits
};

inline constexpr uint64_t kFemtosecondsPerSecond = 1'000'000'000'000'000;
inline constexpr uint64_t kPmTimerHz = 3579545;
inline constexpr uint64_t kPitHz = 1193182;
inline constexpr uint64_t kPitTicks = kPitHz / 50;  // of one stretch, 20 ms

// `Access` gives: read_tsc(), cpuid(leaf) with members a to d, clock(source) for kHpet and kPmTimer,
// read(source), and the PIT's channel 2: pit_start(ticks) begins a stretch, pit_ended() whether it is over.
template <class Access>
class TscCalibration {
public:
    explicit TscCalibration(Access& access) : access_(access) {}

    [[nodiscard]] TscRate measure() {
        for (const TimeSource source : {TimeSource::kHpet, TimeSource::kPmTimer}) {
            if (const uint64_t khz = by_counter(source); khz != 0) return {khz, source};
        }
        if (const uint64_t khz = by_pit(); khz != 0) return {khz, TimeSource::kPit};
        return by_cpuid();
    }

private:
    // What a clock that stands still, or a bus that reads all ones, must not lead to.
    static constexpr uint64_t kLeastKhz = 10'000;
    static constexpr uint64_t kMostKhz = 20'000'000;
    static constexpr uint64_t kStretchMicroseconds = 50'000;
    static constexpr uint64_t kMostTicks = kMostKhz / 1000 * kStretchMicroseconds;
    static constexpr uint64_t kMostReads = 100'000'000;  // should the TSC itself stand still

    struct Stamp {
        uint64_t tsc = 0;
        uint64_t counter = 0;
    };

    static uint64_t plausible(uint64_t khz) { return khz >= kLeastKhz && khz <= kMostKhz ? khz : 0; }

    // A read of the counter between two of the TSC, the closest pair of several: whatever holds the CPU up, a
    // busy host below a virtual machine above all, makes the others wider.
    Stamp stamp(TimeSource source) {
        constexpr unsigned kTries = 8;
        uint64_t closest = ~uint64_t{0};
        Stamp best;
        for (unsigned i = 0; i < kTries; ++i) {
            const uint64_t before = access_.read_tsc();
            const uint64_t counter = access_.read(source);
            const uint64_t width = access_.read_tsc() - before;
            if (width >= closest) continue;
            closest = width;
            best = {before + width / 2, counter};
        }
        return best;
    }

    uint64_t by_counter(TimeSource source) {
        const ReferenceClock clock = access_.clock(source);
        if (clock.femtoseconds_per_tick == 0) return 0;
        const uint64_t wanted =
            kStretchMicroseconds * (kFemtosecondsPerSecond / 1'000'000) / clock.femtoseconds_per_tick;
        if (wanted == 0 || wanted >= clock.mask / 2) return 0;
        const Stamp first = stamp(source);
        uint64_t reads = 0;
        while (((access_.read(source) - first.counter) & clock.mask) < wanted) {
            if (access_.read_tsc() - first.tsc > kMostTicks || ++reads == kMostReads) return 0;
        }
        const Stamp last = stamp(source);
        const uint64_t ticks = (last.counter - first.counter) & clock.mask;
        const uint64_t nanoseconds = ticks * clock.femtoseconds_per_tick / 1'000'000;
        const uint64_t tsc = last.tsc - first.tsc;
        if (nanoseconds == 0 || tsc > ~uint64_t{0} / 1'000'000) return 0;
        return plausible(tsc * 1'000'000 / nanoseconds);
    }

    // TSC ticks of one stretch; zero: there is no such timer.
    uint64_t pit_stretch() {
        access_.pit_start(kPitTicks);
        const uint64_t start = access_.read_tsc();
        // Mode 0: the output is low until the count has run down.
        if (access_.pit_ended()) return 0;
        uint64_t reads = 0;
        while (!access_.pit_ended()) {
            if (access_.read_tsc() - start > kMostTicks || ++reads == kMostReads) return 0;
        }
        return access_.read_tsc() - start;
    }

    // A held-up CPU makes a stretch look longer, never shorter: the shortest is right.
    uint64_t by_pit() {
        constexpr unsigned kStretches = 3;
        uint64_t ticks = ~uint64_t{0};
        for (unsigned i = 0; i < kStretches; ++i) {
            const uint64_t stretch = pit_stretch();
            if (stretch == 0) return 0;
            if (stretch < ticks) ticks = stretch;
        }
        return plausible(ticks * kPitHz / kPitTicks / 1000);
    }

    TscRate by_cpuid() {
        const uint32_t highest = access_.cpuid(0).a;
        if (highest >= 0x15) {
            // A: denominator, B: numerator, C: the crystal's frequency in Hz.
            const auto crystal = access_.cpuid(0x15);
            if (crystal.a != 0 && crystal.b != 0 && crystal.c != 0) {
                const uint64_t khz = plausible(uint64_t{crystal.c} * crystal.b / crystal.a / 1000);
                if (khz != 0) return {khz, TimeSource::kCrystal};
            }
        }
        if (highest >= 0x16) {
            const uint64_t khz = plausible(uint64_t{access_.cpuid(0x16).a & 0xffff} * 1000);
            if (khz != 0) return {khz, TimeSource::kNominal};
        }
        return {};
    }

    Access& access_;
};

}  // namespace torii::hw
