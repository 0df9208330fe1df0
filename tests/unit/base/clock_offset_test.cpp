#include "base/clock_offset.h"

#include <gtest/gtest.h>

#include <thread>

namespace torii::test {
namespace {

TEST(ClockOffsetTest, CountersThatAgreeHaveNone) {
    ClockOffset offset;
    offset.add_round(1000, 1040, 1100);
    offset.add_round(2000, 2090, 2100);
    EXPECT_TRUE(offset.is_none());
    EXPECT_TRUE(offset.is_steady());
    EXPECT_EQ(offset.ticks(), 0);
}

TEST(ClockOffsetTest, AnOffsetIsFoundWithinItsBounds) {
    for (const int64_t real : {-5'000'000'000ll, -70ll, 70ll, 5'000'000'000ll}) {
        ClockOffset offset;
        const uint64_t start = 1ull << 40;
        offset.add_round(start, start + static_cast<uint64_t>(real) + 10, start + 60);
        offset.add_round(start + 900, start + 900 + static_cast<uint64_t>(real) + 50, start + 960);
        EXPECT_FALSE(offset.is_none()) << real;
        EXPECT_TRUE(offset.is_steady()) << real;
        EXPECT_NEAR(static_cast<double>(offset.ticks()), static_cast<double>(real), 10) << real;
    }
}

TEST(ClockOffsetTest, ACounterThatWrapsIsStillNear) {
    ClockOffset offset;
    offset.add_round(UINT64_MAX - 10, 5, 20);
    EXPECT_TRUE(offset.is_none());
}

TEST(ClockOffsetTest, ACounterOfAnotherRateIsNotSteady) {
    ClockOffset offset;
    for (uint64_t time = 0; time < 100'000; time += 1000)
        offset.add_round(time, (time + 50) * 2, time + 100);
    EXPECT_FALSE(offset.is_steady());
    EXPECT_FALSE(offset.is_none());
}

// Two threads with one counter; that of the second is ahead.
int64_t measured(uint64_t ahead) {
    std::atomic<uint64_t> counter{1'000'000};
    ClockExchange exchange;
    std::thread other([&] { exchange.answer([&] { return counter.fetch_add(1) + ahead; }); });
    const ClockOffset offset = exchange.ask([&] { return counter.fetch_add(1); });
    other.join();
    EXPECT_TRUE(offset.is_steady());
    EXPECT_EQ(offset.is_none(), ahead == 0);
    return offset.ticks();
}

TEST(ClockExchangeTest, BothSidesMeet) {
    EXPECT_EQ(measured(0), 0);
    EXPECT_NEAR(static_cast<double>(measured(123'456)), 123'456, 1);
    EXPECT_NEAR(static_cast<double>(measured(static_cast<uint64_t>(-123'456))), -123'456, 1);
}

}  // namespace
}  // namespace torii::test
