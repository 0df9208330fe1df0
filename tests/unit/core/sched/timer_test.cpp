#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "unit/core/sched/simulation.h"

namespace torii::test {
namespace {

struct Probe : Timer {
    Probe() : Timer(&rings) {}
    ~Probe() { timer_cancel(*this); }
    static void rings(Timer& timer) {
        auto& self = static_cast<Probe&>(timer);
        self.rang.push_back(machine.time);
        if (self.again != 0) timer_set(timer, machine.time + self.again);
    }
    std::vector<Nanoseconds> rang;
    Nanoseconds again = 0;
};

class TimerTest : public ::testing::Test {
protected:
    void pass(Nanoseconds length) { simulation.run_for(length); }
    Simulation simulation;
};

TEST_F(TimerTest, TheyRingInOrderAndOnTime) {
    std::vector<Probe> probes(20);
    const Nanoseconds start = machine.time;
    for (size_t i = 0; i < probes.size(); ++i)
        timer_set(probes[i], start + (i * 7 % 20 + 1) * kMillisecond);
    EXPECT_EQ(simulation.timers(0).next_deadline(), start + kMillisecond);
    EXPECT_EQ(machine.cpus[0].device, start + kMillisecond);
    pass(30 * kMillisecond);
    for (size_t i = 0; i < probes.size(); ++i) {
        EXPECT_EQ(probes[i].rang, std::vector{start + (i * 7 % 20 + 1) * kMillisecond});
        EXPECT_FALSE(probes[i].armed());
    }
    EXPECT_EQ(machine.cpus[0].device, kNever);
}

TEST_F(TimerTest, APastDeadlineRingsSoonButNotAtOnce) {
    Probe probe;
    timer_set(probe, 5);
    EXPECT_TRUE(probe.rang.empty());
    pass(kMicrosecond);
    EXPECT_EQ(probe.rang.size(), 1u);
}

TEST_F(TimerTest, CancelledTimersAreSilent) {
    Probe a, b;
    timer_set(a, machine.time + kMillisecond);
    timer_set(b, machine.time + 2 * kMillisecond);
    timer_cancel(a);
    timer_cancel(a);
    timer_set(b, kNever);
    pass(5 * kMillisecond);
    EXPECT_TRUE(a.rang.empty());
    EXPECT_TRUE(b.rang.empty());
}

TEST_F(TimerTest, SettingAgainMoves) {
    Probe a, b, c;
    const Nanoseconds start = machine.time;
    timer_set(a, start + 3 * kMillisecond);
    timer_set(b, start + 4 * kMillisecond);
    timer_set(c, start + 5 * kMillisecond);
    timer_set(b, start + 4 * kMillisecond + 1);  // stays where it is
    timer_set(a, start + 6 * kMillisecond);      // goes behind the others
    timer_set(c, start + 1 * kMillisecond);      // goes first
    EXPECT_EQ(machine.cpus[0].device, start + kMillisecond);
    pass(10 * kMillisecond);
    EXPECT_EQ(c.rang, std::vector{start + kMillisecond});
    EXPECT_EQ(b.rang, std::vector{start + 4 * kMillisecond + 1});
    EXPECT_EQ(a.rang, std::vector{start + 6 * kMillisecond});
}

TEST_F(TimerTest, ACallbackMaySetItsOwnTimer) {
    Probe probe;
    probe.again = kMillisecond;
    timer_set(probe, machine.time + kMillisecond);
    pass(10 * kMillisecond + 1);
    EXPECT_EQ(probe.rang.size(), 10u);
    EXPECT_TRUE(probe.armed());
}

TEST_F(TimerTest, RandomSettingsAgainstASortedList) {
    std::mt19937 random(7);
    std::vector<Probe> probes(50);
    std::vector<Nanoseconds> deadlines(50, kNever);
    for (int round = 0; round < 20000; ++round) {
        const size_t i = random() % probes.size();
        if (random() % 4 == 0) {
            timer_cancel(probes[i]);
            deadlines[i] = kNever;
        } else {
            deadlines[i] = machine.time + 1 + random() % 100000;
            timer_set(probes[i], deadlines[i]);
        }
        const Nanoseconds first = *std::min_element(deadlines.begin(), deadlines.end());
        ASSERT_EQ(simulation.timers(0).next_deadline(), first);
        ASSERT_LE(machine.cpus[0].device, first);
        if (random() % 3 != 0) continue;
        pass(random() % 20000);
        for (size_t k = 0; k < probes.size(); ++k) {
            if (deadlines[k] > machine.time) continue;
            ASSERT_FALSE(probes[k].rang.empty());
            ASSERT_EQ(probes[k].rang.back(), deadlines[k]);
            deadlines[k] = kNever;
        }
    }
}

}  // namespace
}  // namespace torii::test
