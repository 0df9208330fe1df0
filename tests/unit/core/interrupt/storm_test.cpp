// A level that comes again at once after each end is held back for a while; one that is only fast never is.
#include <string>

#include "core/console/console.h"
#include "unit/core/interrupt/device_world.h"

namespace torii::test {
namespace {

constexpr DomId kControl{0};
constexpr uint32_t kLine = 18;
constexpr Nanoseconds kSlowly = 30'000;

TEST(StormGuard, CountsWhatComesAtOnce) {
    StormGuard guard;
    Nanoseconds time = 1'000'000;
    const auto arrivals = [&](unsigned count, Nanoseconds after) {
        bool hold = false;
        for (unsigned i = 0; i < count; ++i) {
            guard.came(time += after);
            hold = guard.ended(time += 5'000);
        }
        return hold;
    };
    (void)guard.ended(time);
    EXPECT_FALSE(arrivals(StormGuard::kMost - 1, StormGuard::kAtOnce - 1));
    EXPECT_TRUE(arrivals(1, StormGuard::kAtOnce - 1));
    EXPECT_TRUE(arrivals(1000, 0)) << "no more than that are counted";
    EXPECT_FALSE(arrivals(1, StormGuard::kAtOnce));
    EXPECT_FALSE(arrivals(StormGuard::kLaterTakes - 1, 0));
    EXPECT_TRUE(arrivals(1, 0));
    EXPECT_FALSE(arrivals(StormGuard::kMost / StormGuard::kLaterTakes + 5, kSlowly)) << "not below zero";
    EXPECT_FALSE(arrivals(StormGuard::kMost - 1, 0));
    EXPECT_TRUE(arrivals(1, 0));
    guard.forget();
    EXPECT_FALSE(arrivals(StormGuard::kMost - 1, 0));
}

TEST(StormGuard, TakesAClockThatIsALittleBehindForAtOnce) {
    StormGuard guard;
    (void)guard.ended(1'000'000);
    bool hold = false;
    for (unsigned i = 0; i < StormGuard::kMost; ++i) {
        guard.came(999'900);
        hold = guard.ended(1'000'000);
    }
    EXPECT_TRUE(hold);
}

class Storm : public DeviceWorld {
protected:
    void SetUp() override {
        DeviceWorld::SetUp();
        pass(1'000'000'000);
        threshold_ = log_threshold();
        set_log_threshold(LogThreshold::kWarnings);
        (void)take_log();
        port_ = listen();
    }
    void TearDown() override {
        set_log_threshold(threshold_);
        DeviceWorld::TearDown();
    }
    Port listen() {
        (void)device_interrupts.describe_line(kLine, true, true);  // EEXIST: an earlier test did
        EXPECT_TRUE(device_interrupts.map_line(kControl, kLine).ok());
        return bind(kLine);
    }
    // The line comes `after` the last end, is handled for 3 us and ended. False: it was masked.
    bool come_and_end(Nanoseconds after) {
        pass(after);
        if (line(kLine).masked) return false;
        fakes::devices().pulse(kLine);
        EXPECT_TRUE(take_event(port_));
        EXPECT_TRUE(line(kLine).masked);
        pass(3'000);
        EXPECT_TRUE(device_interrupts.end_of(kControl, kLine).ok());
        return true;
    }
    // How often it comes at once before it is held back; at most 10,000.
    unsigned storm() {
        unsigned came = 0;
        while (came < 10'000 && come_and_end(1'000))
            ++came;
        return came;
    }
    void come_slowly(unsigned times) {
        for (unsigned i = 0; i < times; ++i)
            ASSERT_TRUE(come_and_end(kSlowly));
    }
    static std::string take_log() {
        char text[16384];
        uint32_t position = 0;
        return {text, console_read_ring(position, false, true, text)};
    }

    Port port_{};

private:
    LogThreshold threshold_ = LogThreshold::kNone;
};

TEST_F(Storm, IsHeldBackAndGoesOn) {
    come_slowly(1);
    ASSERT_EQ(storm(), StormGuard::kMost);
    const Nanoseconds end = now() - 1'000;
    pass(end + StormGuard::kHold - now() - 1);
    EXPECT_TRUE(line(kLine).masked);
    pass(1);
    EXPECT_FALSE(line(kLine).masked);
    // As long as nothing gets better, a few arrivals for each time that it is held back.
    for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(storm(), StormGuard::kLaterTakes + 1);
        pass(StormGuard::kHold);
    }
    come_slowly(100);
    EXPECT_EQ(storm(), StormGuard::kMost) << "it got better";
}

TEST_F(Storm, IsReportedOnce) {
    for (int i = 0; i < 5; ++i) {
        EXPECT_GT(storm(), 0u);
        pass(StormGuard::kHold);
    }
    const std::string log = take_log();
    const std::string words = "interrupt line 18 comes again at once";
    ASSERT_NE(log.find(words), std::string::npos) << log;
    EXPECT_EQ(log.find(words), log.rfind(words)) << log;
}

TEST_F(Storm, AFastLineIsNeverHeldBack) {
    come_slowly(100'000);
    // A burst at once now and then is no storm as long as it gets on in between.
    for (int i = 0; i < 10'000; ++i)
        ASSERT_TRUE(come_and_end(i % 32 == 0 ? kSlowly : 1'000)) << i;
}

TEST_F(Storm, WhatCameBeforeTheMaskIsEndedFirst) {
    storm();
    pass(kSlowly);
    fakes::devices().arrive(line(kLine).route.cpu, line(kLine).route.vector);
    EXPECT_TRUE(take_event(port_));
    pass(StormGuard::kHold);
    EXPECT_TRUE(line(kLine).masked) << "the end unmasks it, not the timer";
    ASSERT_TRUE(device_interrupts.end_of(kControl, kLine).ok());
    EXPECT_FALSE(line(kLine).masked);
}

TEST_F(Storm, AnEndWhileHeldBackLeavesTheMask) {
    storm();
    pass(kSlowly);  // so that its end wouldn't hold it back by itself
    fakes::devices().arrive(line(kLine).route.cpu, line(kLine).route.vector);
    ASSERT_TRUE(device_interrupts.end_of(kControl, kLine).ok());
    EXPECT_TRUE(line(kLine).masked);
    ASSERT_TRUE(device_interrupts.end_of(kControl, kLine).ok()) << "said in vain";
    EXPECT_TRUE(line(kLine).masked);
    pass(StormGuard::kHold);
    EXPECT_FALSE(line(kLine).masked);
}

TEST_F(Storm, UnboundWhileHeldBackStaysMasked) {
    storm();
    ASSERT_TRUE(control().events.close(port_).ok());
    pass(StormGuard::kHold);
    EXPECT_TRUE(line(kLine).masked) << "nobody listens";
    port_ = bind(kLine);
    EXPECT_FALSE(line(kLine).masked);
    EXPECT_EQ(storm(), 1 + StormGuard::kMost) << "counted anew, and the first was late";
}

TEST_F(Storm, ABindingWhileHeldBackWaits) {
    storm();
    ASSERT_TRUE(control().events.close(port_).ok());
    port_ = bind(kLine);
    EXPECT_TRUE(line(kLine).masked);
    pass(StormGuard::kHold);
    EXPECT_FALSE(line(kLine).masked);
    EXPECT_TRUE(come_and_end(1'000));
}

TEST_F(Storm, AnEdgeIsNotHeldBackForTheLevelThatItWas) {
    storm();
    ASSERT_TRUE(device_interrupts.unmap(kControl, kLine).ok());
    ASSERT_TRUE(device_interrupts.describe_line(kLine, false, false).ok());
    ASSERT_TRUE(device_interrupts.map_line(kControl, kLine).ok());
    ASSERT_TRUE(device_interrupts.bind(control().events, kLine).ok());
    EXPECT_FALSE(line(kLine).masked) << "an edge would be lost";
    pass(StormGuard::kHold);
    EXPECT_FALSE(line(kLine).masked);
    ASSERT_TRUE(device_interrupts.unmap(kControl, kLine).ok());
    EXPECT_TRUE(line(kLine).masked);
}

TEST_F(Storm, UnmappedWhileHeldBackIsNobodys) {
    storm();
    ASSERT_TRUE(device_interrupts.unmap(kControl, kLine).ok());
    EXPECT_TRUE(line(kLine).masked);
    pass(StormGuard::kHold);
    EXPECT_TRUE(line(kLine).masked);
}

// The timer fires when the domain that had the line, its ports and all, is freed memory.
TEST_F(Storm, OfADomainThatDies) {
    ASSERT_TRUE(control().events.close(port_).ok());
    ASSERT_TRUE(device_interrupts.unmap(kControl, kLine).ok());
    Result<Domain*> dying = create_domain(DomId(5), DomainLimits{}, false);
    ASSERT_TRUE(dying.ok());
    ASSERT_TRUE(create_vcpu(*dying.value(), VcpuId(0)).ok());
    EventTable& events = dying.value()->events;
    events.limit_pirqs(DeviceInterrupts::end());
    ASSERT_TRUE(device_interrupts.describe_line(kLine, true, true).ok());
    ASSERT_TRUE(device_interrupts.map_line(DomId(5), kLine).ok());
    ASSERT_TRUE(device_interrupts.bind(events, kLine).ok());
    for (unsigned i = 0; i < StormGuard::kMost + 1 && !line(kLine).masked; ++i) {
        fakes::devices().pulse(kLine);
        ASSERT_TRUE(device_interrupts.end_of(DomId(5), kLine).ok());
    }
    ASSERT_TRUE(device_interrupts.find(kLine)->held_back);
    destroy(*dying.value());
    EXPECT_TRUE(line(kLine).masked);
    pass(StormGuard::kHold);
    EXPECT_TRUE(line(kLine).masked);
    EXPECT_FALSE(device_interrupts.find(kLine)->held_back);
    port_ = listen();
    EXPECT_TRUE(come_and_end(kSlowly)) << "the line is as good as new";
}

}  // namespace
}  // namespace torii::test
