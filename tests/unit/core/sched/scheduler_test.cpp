#include <gtest/gtest.h>

#include <random>

#include "unit/core/sched/simulation.h"

namespace torii::test {
namespace {

double share(const Simulation::Guest& guest, Nanoseconds length) {
    return static_cast<double>(guest.ran()) / static_cast<double>(length);
}

TEST(SchedulerTest, EqualsShareEqually) {
    Simulation s;
    for (int i = 0; i < 7; ++i)
        s.add(computes());
    s.run_for(10 * kSecond);
    for (const auto& guest : s.guests)
        EXPECT_NEAR(share(*guest, 10 * kSecond), 1.0 / 7, 0.01 / 7);
}

TEST(SchedulerTest, WeightsAreKeptWithinAPercent) {
    const std::vector<std::vector<uint32_t>> mixes = {{256, 512},           {1, 1},       {256, 256, 2560},
                                                      {100, 200, 300, 400}, {65535, 256}, {1000, 1, 1, 1, 1}};
    for (const auto& weights : mixes) {
        Simulation s;
        uint64_t total = 0;
        for (const uint32_t weight : weights) {
            s.add(computes(), weight);
            total += weight;
        }
        constexpr Nanoseconds kLength = 1000 * kSecond;
        s.run_for(kLength);
        for (size_t i = 0; i < weights.size(); ++i) {
            const double fair = static_cast<double>(weights[i]) / static_cast<double>(total);
            EXPECT_NEAR(share(*s.guests[i], kLength), fair, fair * 0.01 + 0.0001)
                << weights[i] << "/" << total;
        }
    }
}

TEST(SchedulerTest, AShareIsKeptOverShortTimesToo) {
    Simulation s;
    Simulation::Guest& heavy = s.add(computes(), 1024);
    for (int i = 0; i < 4; ++i)
        s.add(computes(), 256);
    s.run_for(kSecond);
    for (int i = 0; i < 50; ++i) {
        const Nanoseconds before = heavy.ran();
        s.run_for(100 * kMillisecond);
        EXPECT_NEAR(static_cast<double>(heavy.ran() - before), 50e6, 12e6);
    }
}

TEST(SchedulerTest, OneUnitAloneIsNotInterrupted) {
    Simulation s;
    s.add(computes());
    s.run_for(kMillisecond);
    const uint64_t switches = machine.switches;
    EXPECT_EQ(machine.cpus[0].device, kNever);  // no tick
    s.run_for(kSecond);
    EXPECT_EQ(machine.switches, switches);
}

TEST(SchedulerTest, WhoSleepsMuchRunsSoonAfterWaking) {
    Simulation s;
    for (int i = 0; i < 4; ++i)
        s.add(computes());
    Simulation::Guest& interactive = s.add(alternates(100 * kMicrosecond, 5 * kMillisecond));
    s.run_for(10 * kSecond);
    EXPECT_GT(interactive.delays.size(), 1500u);
    EXPECT_LE(interactive.worst_delay(), kShortestRun + 50 * kMicrosecond);
}

TEST(SchedulerTest, AWakingUnitWaitsForTheShortestRunAtMost) {
    Simulation s;
    Simulation::Guest& a = s.add(alternates(50 * kMicrosecond, 3 * kMillisecond));
    Simulation::Guest& b = s.add(alternates(50 * kMicrosecond, 3 * kMillisecond + 7 * kMicrosecond));
    s.add(computes());
    s.run_for(5 * kSecond);
    EXPECT_LE(a.worst_delay(), kShortestRun + 60 * kMicrosecond);
    EXPECT_LE(b.worst_delay(), kShortestRun + 60 * kMicrosecond);
}

// Sleeping just before the end of each slice, or in any other rhythm, brings no more than the share.
TEST(SchedulerTest, NoRhythmOfSleepingBeatsTheShare) {
    for (const Nanoseconds run :
         {500 * kMicrosecond, 4 * kMillisecond, 9'900 * kMicrosecond, 30 * kMillisecond}) {
        for (const Nanoseconds sleep :
             {10 * kMicrosecond, 100 * kMicrosecond, kMillisecond, 5 * kMillisecond}) {
            Simulation s;
            Simulation::Guest& honest = s.add(computes());
            Simulation::Guest& cheat = s.add(alternates(run, sleep));
            s.run_for(20 * kSecond);
            EXPECT_LE(share(cheat, 20 * kSecond), 0.505) << run << " " << sleep;
            EXPECT_GE(share(honest, 20 * kSecond), 0.495) << run << " " << sleep;
        }
    }
}

// What a light sleeper leaves unused goes to the others, who are not held back afterwards.
TEST(SchedulerTest, ALongSleepIsNotSavedUp) {
    Simulation s;
    Simulation::Guest& a = s.add(computes());
    Simulation::Guest& late = s.add([first = true]() mutable {
        if (first) {
            first = false;
            return Simulation::Step{kMicrosecond, 60 * kSecond};
        }
        return Simulation::Step{kNever, kNever};
    });
    s.run_for(60 * kSecond);
    const Nanoseconds before = a.ran();
    s.run_for(kSecond);
    EXPECT_GT(late.ran(), 400 * kMillisecond);
    EXPECT_GT(a.ran() - before, 480 * kMillisecond);
}

// Many short sleepers must not move the others' virtual times apart (a newcomer would then wait for them).
TEST(SchedulerTest, SleepersDoNotLetTheClockDrift) {
    Simulation s;
    s.add(computes());
    for (Nanoseconds i = 0; i < 10; ++i)
        s.add(alternates(50 * kMicrosecond, 7 * kMillisecond + i * kMicrosecond));
    s.run_for(30 * kSecond);
    const Nanoseconds started = machine.time;
    Simulation::Guest& newcomer = s.add(computes());
    s.run_for(2 * kSecond);
    EXPECT_NEAR(static_cast<double>(newcomer.ran()) / static_cast<double>(machine.time - started), 0.46,
                0.02);
}

TEST(SchedulerTest, NobodyStarves) {
    for (uint32_t seed = 0; seed < 10; ++seed) {
        std::mt19937 random(seed);
        Simulation s;
        for (int i = 0; i < 12; ++i) {
            const uint32_t weight = 64u << random() % 5;
            const Nanoseconds run = (1 + random() % 20000) * kMicrosecond;
            const Nanoseconds sleep = (random() % 10000) * kMicrosecond;
            s.add(i % 3 == 0 ? computes() : alternates(run, sleep), weight);
        }
        // The lightest have about a hundredth of the CPU: a slice for them comes every second or two.
        for (int period = 0; period < 5; ++period) {
            std::vector<Nanoseconds> before;
            for (const auto& guest : s.guests)
                before.push_back(guest->ran());
            s.run_for(3 * kSecond);
            for (size_t i = 0; i < s.guests.size(); ++i) {
                EXPECT_GT(s.guests[i]->ran(), before[i]) << "seed " << seed << " guest " << i;
            }
        }
    }
}

TEST(SchedulerTest, YieldLetsTheOthersRun) {
    Simulation s;
    Simulation::Guest& polite = s.add(alternates(10 * kMicrosecond, 0));
    Simulation::Guest& other = s.add(computes());
    s.run_for(kSecond);
    EXPECT_GT(other.ran(), polite.ran());
    EXPECT_GT(polite.ran(), 0u);
    // Alone, a yield is nothing.
    Simulation t;
    t.add(alternates(10 * kMicrosecond, 0));
    t.run_for(10 * kMillisecond);
    EXPECT_EQ(machine.switches, 1u);
}

TEST(SchedulerTest, PausesAddUp) {
    Simulation s;
    Simulation::Guest& a = s.add(computes());
    Simulation::Guest& b = s.add(computes());
    s.run_for(100 * kMillisecond);
    sched_pause(a.unit);
    sched_pause(a.unit);
    s.run_for(100 * kMillisecond);
    const Nanoseconds stopped_at = a.ran();
    EXPECT_FALSE(a.unit.is_running());
    EXPECT_EQ(a.unit.clock.state(), abi::RunState::kOffline);
    sched_unpause(a.unit);
    s.run_for(100 * kMillisecond);
    EXPECT_EQ(a.ran(), stopped_at);
    sched_unpause(a.unit);
    s.run_for(100 * kMillisecond);
    EXPECT_GT(a.ran(), stopped_at + 40 * kMillisecond);
    EXPECT_GT(b.ran(), 200 * kMillisecond);
}

TEST(SchedulerTest, APausedSleeperSleepsOn) {
    Simulation s;
    Simulation::Guest& a = s.add(alternates(kMicrosecond, 10 * kMillisecond));
    s.run_for(kMillisecond);
    EXPECT_TRUE(a.unit.is_blocked());
    sched_pause(a.unit);
    EXPECT_EQ(a.unit.clock.state(), abi::RunState::kBlocked);
    s.run_for(20 * kMillisecond);  // its alarm has rung
    EXPECT_FALSE(a.unit.is_blocked());
    EXPECT_EQ(a.unit.clock.state(), abi::RunState::kOffline);
    EXPECT_TRUE(s.queue(0).is_idle());
    sched_unpause(a.unit);
    s.run_for(kMillisecond);
    EXPECT_GE(a.ran(), 2 * kMicrosecond);
    sched_pause(a.unit);
    sched_remove(a.unit);
}

TEST(SchedulerTest, AWakeUpBeforeTheSleepIsNotLost) {
    Simulation s;
    Simulation::Guest& a = s.add(computes());
    s.run_for(kMillisecond);
    ASSERT_TRUE(a.unit.is_running());
    sched_block(a.unit, [] { return true; });
    EXPECT_TRUE(a.unit.is_running());
    sched_block(a.unit, [&a] {
        sched_wake(a.unit);  // another CPU, in between
        return false;
    });
    EXPECT_TRUE(a.unit.is_running());
    EXPECT_TRUE(a.unit.is_runnable());
    sched_wake(a.unit);  // not blocked: nothing
    EXPECT_EQ(&s.queue(0).current(), &a.unit);
}

TEST(SchedulerTest, TimesAddUpToTheTimeThatPassed) {
    Simulation s;
    const Nanoseconds began = machine.time;
    for (int i = 0; i < 3; ++i)
        s.add(computes());
    s.add(alternates(kMillisecond, kMillisecond));
    s.run_for(3 * kSecond);
    Nanoseconds running = 0;
    for (const auto& guest : s.guests) {
        const abi::VcpuRunstateInfo info = sched_runstate(guest->unit);
        EXPECT_EQ(info.time[0] + info.time[1] + info.time[2] + info.time[3], machine.time - began);
        running += info.time[0];
    }
    EXPECT_EQ(running, machine.time - began);
}

TEST(SchedulerTest, AWeightMayChangeAtAnyTime) {
    Simulation s;
    Simulation::Guest& a = s.add(computes());
    Simulation::Guest& b = s.add(computes());
    s.run_for(kSecond);
    RunQueue::set_weight(a.unit, 768);
    const Nanoseconds a_before = a.ran(), b_before = b.ran();
    s.run_for(10 * kSecond);
    EXPECT_NEAR(static_cast<double>(a.ran() - a_before) / static_cast<double>(b.ran() - b_before), 3.0, 0.05);
    RunQueue::set_weight(b.unit, 0);
    EXPECT_EQ(b.unit.weight(), kLeastWeight);
    RunQueue::set_weight(b.unit, 1u << 20);
    EXPECT_EQ(b.unit.weight(), kMostWeight);
}

}  // namespace
}  // namespace torii::test
