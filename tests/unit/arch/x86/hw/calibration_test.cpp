#include "arch/x86/hw/calibration.h"

#include <gtest/gtest.h>

#include <map>

namespace torii::hw::test {
namespace {

struct Words {
    uint32_t a, b, c, d;
};

// A machine whose time passes with every access: each costs `access_ticks` of the TSC.
struct FakeClocks {
    uint64_t tsc_khz = 2'500'000;
    uint64_t access_ticks = 500;
    bool hpet = false, pm_timer = false, pit = false;
    bool hpet_stands = false, pm_timer_stands = false, pit_never_ends = false, bus_reads_ones = false;
    uint64_t hpet_start = 0xfffff000, pm_start = 0xfff000;  // both wrap soon
    std::map<uint32_t, Words> leaves{{0, {1, 0, 0, 0}}};
    uint64_t tsc = 77'000'000'000;
    uint64_t pit_end = 0;
    unsigned accesses = 0;
    unsigned slow_every = 0;  // every so many accesses the host takes the CPU away for 3 ms

    uint64_t pass() {
        tsc += access_ticks;
        if (slow_every != 0 && ++accesses % slow_every == 0) tsc += 3 * tsc_khz;
        return tsc;
    }
    [[nodiscard]] uint64_t femtoseconds() const {
        return static_cast<uint64_t>(static_cast<unsigned __int128>(tsc - 77'000'000'000) *
                                     1'000'000'000'000 / tsc_khz);
    }
    uint64_t read_tsc() { return pass(); }
    [[nodiscard]] Words cpuid(uint32_t leaf) const {
        const auto found = leaves.find(leaf);
        return found != leaves.end() ? found->second : Words{};
    }
    [[nodiscard]] ReferenceClock clock(TimeSource source) const {
        if (source == TimeSource::kHpet && hpet) return {69841279, 0xffffffff};
        if (source == TimeSource::kPmTimer && pm_timer)
            return {kFemtosecondsPerSecond / kPmTimerHz, 0xffffff};
        return {};
    }
    uint64_t read(TimeSource source) {
        pass();
        const ReferenceClock it = clock(source);
        const bool is_hpet = source == TimeSource::kHpet;
        if (is_hpet ? hpet_stands : pm_timer_stands) return 5;
        return ((is_hpet ? hpet_start : pm_start) + femtoseconds() / it.femtoseconds_per_tick) & it.mask;
    }
    void pit_start(uint64_t ticks) {
        pass();
        pit_end = tsc + ticks * tsc_khz * 1000 / kPitHz;
    }
    bool pit_ended() {
        pass();
        if (bus_reads_ones) return true;
        return pit && !pit_never_ends && tsc >= pit_end;
    }
};

TscRate measure(FakeClocks& clocks) {
    return TscCalibration(clocks).measure();
}

void expect_rate(FakeClocks clocks, TimeSource source, double tolerance = 1e-4) {
    const TscRate rate = measure(clocks);
    EXPECT_EQ(rate.source, source);
    EXPECT_NEAR(static_cast<double>(rate.khz), static_cast<double>(clocks.tsc_khz),
                static_cast<double>(clocks.tsc_khz) * tolerance);
}

TEST(CalibrationTest, TheHpetComesFirst) {
    expect_rate({.hpet = true, .pm_timer = true, .pit = true}, TimeSource::kHpet);
}

TEST(CalibrationTest, ThenThePmTimerWhichWraps) {
    expect_rate({.pm_timer = true, .pit = true}, TimeSource::kPmTimer);
}

TEST(CalibrationTest, ThenThePit) {
    expect_rate({.pit = true}, TimeSource::kPit, 1e-3);
}

TEST(CalibrationTest, SlowAndFastCounters) {
    for (const uint64_t khz : {1'000'000u, 100'000u, 6'000'000u})
        expect_rate({.tsc_khz = khz, .access_ticks = 50, .hpet = true}, TimeSource::kHpet);
}

TEST(CalibrationTest, AHostThatTakesTheCpuAwayDoesNotSpoilIt) {
    for (unsigned every = 3; every < 40; ++every)
        expect_rate({.hpet = true, .slow_every = every}, TimeSource::kHpet);
}

TEST(CalibrationTest, WhatStandsStillIsPassedOver) {
    expect_rate({.hpet = true, .pm_timer = true, .hpet_stands = true}, TimeSource::kPmTimer);
    expect_rate({.hpet = true, .pm_timer = true, .pit = true, .hpet_stands = true, .pm_timer_stands = true},
                TimeSource::kPit, 1e-3);
}

TEST(CalibrationTest, WithoutAPitTheGateReadsOnesOrNothing) {
    FakeClocks ones{.bus_reads_ones = true};
    EXPECT_EQ(measure(ones).khz, 0u);
    FakeClocks nothing{.pit = true, .pit_never_ends = true};
    EXPECT_EQ(measure(nothing).khz, 0u);
    EXPECT_EQ(measure(nothing).source, TimeSource::kNone);
}

TEST(CalibrationTest, TheCpuItselfTells) {
    FakeClocks crystal;
    crystal.leaves = {{0, {0x16, 0, 0, 0}}, {0x15, {2, 188, 24'000'000, 0}}, {0x16, {2100, 0, 0, 0}}};
    const TscRate exact = measure(crystal);
    EXPECT_EQ(exact.source, TimeSource::kCrystal);
    EXPECT_EQ(exact.khz, 2'256'000u);

    crystal.leaves[0x15] = {2, 188, 0, 0};  // the crystal is not told
    const TscRate nominal = measure(crystal);
    EXPECT_EQ(nominal.source, TimeSource::kNominal);
    EXPECT_EQ(nominal.khz, 2'100'000u);

    crystal.leaves[0] = {0xd, 0, 0, 0};  // leaves beyond the highest are not asked
    EXPECT_EQ(measure(crystal).khz, 0u);
}

TEST(CalibrationTest, NonsenseFromTheCpuIsNoRate) {
    FakeClocks clocks;
    clocks.leaves = {{0, {0x16, 0, 0, 0}}, {0x15, {1, 1, 1, 0}}, {0x16, {0, 0, 0, 0}}};
    EXPECT_EQ(measure(clocks).khz, 0u);
}

}  // namespace
}  // namespace torii::hw::test
