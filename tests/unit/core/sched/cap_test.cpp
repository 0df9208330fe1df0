#include <gtest/gtest.h>

#include "unit/core/sched/simulation.h"

namespace torii::test {
namespace {

double share(Nanoseconds ran, Nanoseconds length) {
    return static_cast<double>(ran) / static_cast<double>(length);
}

TEST(CapTest, OneUnitGetsItsCapWithinAPercent) {
    for (const uint32_t cap : {1u, 5u, 10u, 33u, 50u, 75u, 99u}) {
        Simulation s;
        SchedGroup& group = s.new_group();
        group.set_cap(cap);
        Simulation::Guest& guest = s.add_to(group, computes());
        s.run_for(100 * kSecond);
        EXPECT_NEAR(share(guest.ran(), 100 * kSecond), cap / 100.0, cap / 100.0 * 0.01) << cap;
    }
}

TEST(CapTest, TheCapIsOfTheWholeDomain) {
    for (const uint32_t cap : {20u, 100u, 150u, 250u, 390u}) {
        Simulation s(4);
        SchedGroup& group = s.new_group();
        for (int i = 0; i < 4; ++i)
            s.add_to(group, computes());
        group.set_cap(cap);
        s.run_for(kSecond);
        Nanoseconds before = 0;
        for (const auto& guest : s.guests)
            before += guest->ran();
        s.run_for(50 * kSecond);
        Nanoseconds ran = 0;
        for (const auto& guest : s.guests)
            ran += guest->ran();
        EXPECT_NEAR(share(ran - before, 50 * kSecond), cap / 100.0, cap / 100.0 * 0.01) << cap;
    }
}

TEST(CapTest, WhoHasToWaitForTheCpuStillGetsTheCap) {
    Simulation s;
    s.add(computes());
    SchedGroup& group = s.new_group(1024);
    group.set_cap(40);
    Simulation::Guest& capped = s.add_to(group, computes());
    s.run_for(100 * kSecond);
    EXPECT_NEAR(share(capped.ran(), 100 * kSecond), 0.4, 0.004);
}

TEST(CapTest, ACapChangesAtOnce) {
    Simulation s;
    SchedGroup& group = s.new_group();
    Simulation::Guest& guest = s.add_to(group, computes());
    s.run_for(kSecond);
    EXPECT_GE(guest.ran(), kSecond);
    group.set_cap(10);
    Nanoseconds before = guest.ran();
    s.run_for(10 * kSecond);
    EXPECT_NEAR(share(guest.ran() - before, 10 * kSecond), 0.1, 0.001 + 0.003);
    group.set_cap(0);
    before = guest.ran();
    s.run_for(kSecond);
    EXPECT_GE(guest.ran() - before, kSecond);
}

TEST(CapTest, BeingHeldBackCountsAsStolenTime) {
    Simulation s;
    SchedGroup& group = s.new_group();
    group.set_cap(25);
    Simulation::Guest& guest = s.add_to(group, computes());
    s.run_for(10 * kSecond);
    const abi::VcpuRunstateInfo info = sched_runstate(guest.unit);
    EXPECT_NEAR(static_cast<double>(info.time[static_cast<int>(abi::RunState::kRunnable)]), 7.5e9, 0.1e9);
    EXPECT_EQ(info.time[static_cast<int>(abi::RunState::kBlocked)], 0u);
}

TEST(CapTest, NothingTicksForASleepingDomain) {
    Simulation s;
    SchedGroup& group = s.new_group();
    group.set_cap(25);
    s.add_to(group, alternates(20 * kMillisecond, 1000 * kSecond));
    s.run_for(10 * kSecond);
    const uint64_t sets = machine.device_sets;
    s.run_for(900 * kSecond);
    EXPECT_EQ(machine.device_sets, sets);
}

TEST(CapTest, ACappedUnitMayBePausedAndEnded) {
    Simulation s;
    SchedGroup& group = s.new_group();
    group.set_cap(10);
    Simulation::Guest& guest = s.add_to(group, computes());
    s.run_for(5 * kMillisecond);  // its budget is used up
    EXPECT_FALSE(guest.unit.is_running());
    sched_pause(guest.unit);
    EXPECT_EQ(guest.unit.clock.state(), abi::RunState::kOffline);
    s.run_for(100 * kMillisecond);
    EXPECT_FALSE(guest.unit.is_running());
    sched_unpause(guest.unit);
    const Nanoseconds before = guest.ran();
    s.run_for(kSecond);
    EXPECT_NEAR(static_cast<double>(guest.ran() - before), 100e6, 5e6);
    s.end(0);
}

}  // namespace
}  // namespace torii::test
