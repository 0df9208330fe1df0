#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "unit/core/sched/simulation.h"

namespace torii::test {
namespace {

double share(Nanoseconds ran, Nanoseconds length) {
    return static_cast<double>(ran) / static_cast<double>(length);
}

// Shares of `length` after some time to settle.
std::vector<double> shares(Simulation& s, Nanoseconds length) {
    s.run_for(kSecond);
    std::vector<Nanoseconds> before;
    for (const auto& guest : s.guests)
        before.push_back(guest->ran());
    s.run_for(length);
    std::vector<double> result;
    for (size_t i = 0; i < s.guests.size(); ++i)
        result.push_back(share(s.guests[i]->ran() - before[i], length));
    return result;
}

TEST(BalanceTest, ThreeHogsOnTwoCpusGetTwoThirdsEach) {
    Simulation s(2);
    for (int i = 0; i < 3; ++i)
        s.add(computes());
    for (const double each : shares(s, 20 * kSecond))
        EXPECT_NEAR(each, 2.0 / 3, 0.01 * 2 / 3);
}

TEST(BalanceTest, HogsShareAnyNumberOfCpus) {
    for (const auto& [cpus, hogs] : std::vector<std::pair<unsigned, unsigned>>{
             {2, 5}, {3, 4}, {4, 5}, {4, 7}, {8, 9}, {8, 20}, {16, 24}}) {
        Simulation s(cpus);
        for (unsigned i = 0; i < hogs; ++i)
            s.add(computes());
        const double fair = static_cast<double>(cpus) / hogs;
        for (const double each : shares(s, 60 * kSecond))
            EXPECT_NEAR(each, fair, 0.01 * fair) << hogs << " hogs on " << cpus;
    }
}

TEST(BalanceTest, WeightsCountOverAllCpus) {
    // No unit can have more than a CPU: what it can't use goes to the others.
    const std::vector<std::pair<std::vector<uint32_t>, std::vector<double>>> mixes = {
        {{512, 512, 256}, {0.8, 0.8, 0.4}},
        {{768, 256, 256, 256}, {1, 1.0 / 3, 1.0 / 3, 1.0 / 3}},
        {{512, 256, 256}, {1, 0.5, 0.5}},
        {{1024, 1024, 512, 512, 256}, {2.0 * 4 / 13, 2.0 * 4 / 13, 2.0 * 2 / 13, 2.0 * 2 / 13, 2.0 / 13}}};
    for (const auto& [weights, fair] : mixes) {
        Simulation s(2);
        for (const uint32_t weight : weights)
            s.add(computes(), weight);
        const std::vector<double> got = shares(s, 100 * kSecond);
        for (size_t i = 0; i < got.size(); ++i)
            EXPECT_NEAR(got[i], fair[i], 0.01 * fair[i]) << "weight " << weights[i];
    }
}

TEST(BalanceTest, NobodyIsMovedWhenEachHasACpu) {
    Simulation s(4);
    for (int i = 0; i < 4; ++i)
        s.add(computes());
    s.run_for(kMillisecond);
    const uint64_t switches = machine.switches;
    for (const auto& cpu : machine.cpus)
        EXPECT_EQ(cpu.device, kNever);  // no tick
    s.run_for(kSecond);
    EXPECT_EQ(machine.switches, switches);
    for (const auto& guest : s.guests)
        EXPECT_GE(guest->ran(), kSecond);
}

TEST(BalanceTest, AnIdleMachineIsStill) {
    Simulation s(8);
    for (int i = 0; i < 20; ++i)
        s.add(alternates(10 * kMicrosecond, 3600 * kSecond));
    s.run_for(kSecond);
    const uint64_t sets = machine.device_sets;
    const uint64_t decisions = machine.decisions;
    s.run_for(1000 * kSecond);
    EXPECT_EQ(machine.device_sets, sets);
    EXPECT_EQ(machine.decisions, decisions);
}

TEST(BalanceTest, ASleeperWakesOnAnIdleCpu) {
    Simulation s(4);
    for (int i = 0; i < 3; ++i)
        s.add(computes());
    Simulation::Guest& sleeper = s.add(alternates(100 * kMicrosecond, kMillisecond));
    s.run_for(2 * kSecond);
    EXPECT_LE(sleeper.worst_delay(), kMicrosecond);
}

TEST(BalanceTest, AmongManyHogsAnInputBoundUnitRunsWithinASlice) {
    for (const unsigned cpus : {1u, 4u}) {
        Simulation s(cpus);
        for (int i = 0; i < 64; ++i)
            s.add(computes());
        Simulation::Guest& interactive = s.add(alternates(50 * kMicrosecond, 20 * kMillisecond));
        s.run_for(60 * kSecond);
        EXPECT_GT(interactive.delays.size(), 1000u);
        EXPECT_LE(interactive.delay_percentile(0.99), kSlice) << cpus;
        RecordProperty("wake_up_p99_ns_" + std::to_string(cpus),
                       std::to_string(interactive.delay_percentile(0.99)));
    }
}

// Two threads per core, four cores per package.
CpuPlace two_packages(unsigned cpu) {
    return {.core = cpu / 2, .package = cpu / 8};
}

TEST(BalanceTest, CoresFillBeforeTheirThreads) {
    Simulation s(16, two_packages);
    std::vector<unsigned> threads_used(8, 0);
    // They come one after the other on CPU 0, as vCPUs that are woken there.
    for (int i = 0; i < 8; ++i)
        s.add(alternates(kMillisecond * 100, kMillisecond));
    s.run_for(10 * kMillisecond);
    for (const auto& guest : s.guests)
        ++threads_used[guest->unit.cpu().raw() / 2];
    for (const unsigned used : threads_used)
        EXPECT_EQ(used, 1u);
}

TEST(BalanceTest, ItsOwnPackageIsPreferred) {
    Simulation s(16, two_packages);
    Simulation::Guest& local = s.add(alternates(kMillisecond, kMillisecond));
    s.run_for(kMillisecond / 2);
    const unsigned first = local.unit.cpu().raw();
    ASSERT_LT(first, 8u);
    s.run_for(kMillisecond);  // asleep
    Simulation::Guest& hog = s.add(computes());
    {
        const LockGuard guard(cpu_pools_lock);
        CpuMask only{CpuId(first)};
        Affinity(hog.unit).set_hard(only);
    }
    s.run_for(kMillisecond);
    EXPECT_NE(local.unit.cpu().raw(), first);
    EXPECT_LT(local.unit.cpu().raw(), 8u);
    EXPECT_NE(local.unit.cpu().raw() / 2, first / 2);
}

// Sleeping just before the end of a slice, and waking on another CPU, doesn't launder what was used.
TEST(BalanceTest, MovingBringsNoMoreThanTheShare) {
    for (const Nanoseconds run : {kMillisecond, 9'900 * kMicrosecond, 30 * kMillisecond}) {
        for (const Nanoseconds sleep : {10 * kMicrosecond, 500 * kMicrosecond}) {
            Simulation s(2);
            for (int i = 0; i < 4; ++i)
                s.add(computes());
            Simulation::Guest& cheat = s.add(alternates(run, sleep));
            s.run_for(60 * kSecond);
            EXPECT_LE(share(cheat.ran(), 60 * kSecond), 0.4 * 1.02) << run << " " << sleep;
        }
    }
}

TEST(BalanceTest, RunTimesAddUpOverMoves) {
    Simulation s(3);
    const Nanoseconds began = machine.time;
    for (int i = 0; i < 5; ++i)
        s.add(computes());
    s.add(alternates(kMillisecond, kMillisecond));
    s.run_for(5 * kSecond);
    Nanoseconds running = 0;
    for (const auto& guest : s.guests) {
        const abi::VcpuRunstateInfo info = sched_runstate(guest->unit);
        EXPECT_EQ(info.time[0] + info.time[1] + info.time[2] + info.time[3], machine.time - began);
        running += info.time[0];
    }
    EXPECT_EQ(running, 3 * (machine.time - began));
}

// Comparisons and units looked at, per decision: grows like the logarithm of the number of units.
TEST(BalanceTest, ADecisionCostsTheLogarithmOfTheNumberOfUnits) {
    double at_ten = 0;
    for (const unsigned count : {10u, 100u, 1000u, 10000u}) {
        Simulation s(1);
        std::mt19937 random(count);
        for (unsigned i = 0; i < count; ++i) {
            const Nanoseconds run = (100 + random() % 900) * kMicrosecond;
            s.add([&random, run] { return Simulation::Step{run, (1 + random() % 20) * kMillisecond}; });
        }
        s.run_for(100 * kMillisecond);
        const uint64_t steps = sched_steps;
        const uint64_t decisions = machine.decisions;
        while (machine.decisions < decisions + 20'000)
            s.run_for(100 * kMillisecond);
        const double cost =
            static_cast<double>(sched_steps - steps) / static_cast<double>(machine.decisions - decisions);
        if (at_ten == 0) at_ten = cost;
        RecordProperty("steps_per_decision_" + std::to_string(count), std::to_string(cost));
        EXPECT_LE(cost, at_ten + 10 * std::log2(count / 10.0) + 1) << count;
    }
}

}  // namespace
}  // namespace torii::test
