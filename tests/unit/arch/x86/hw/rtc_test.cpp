#include "arch/x86/hw/rtc.h"

#include <gtest/gtest.h>

#include <array>

namespace torii::hw::test {
namespace {

using Registers = std::array<uint8_t, 16>;

// 2026-11-26 15:04:05, as most machines hold it: BCD, 24 hours.
Registers usual() {
    Registers r{};
    r[0] = 0x05;
    r[2] = 0x04;
    r[4] = 0x15;
    r[7] = 0x26;
    r[8] = 0x11;
    r[9] = 0x26;
    r[0xb] = 0x02;
    return r;
}
constexpr uint64_t kThen = 1795705445;

uint64_t read(const Registers& registers) {
    return RealTimeClock([&](uint8_t index) { return registers[index]; }).seconds();
}

TEST(RealTimeClockTest, BinaryCodedDecimal) {
    EXPECT_EQ(read(usual()), kThen);
}

TEST(RealTimeClockTest, Binary) {
    Registers r = usual();
    r[0] = 5;
    r[2] = 4;
    r[4] = 15;
    r[7] = 26;
    r[8] = 11;
    r[9] = 26;
    r[0xb] = 0x06;
    EXPECT_EQ(read(r), kThen);
}

TEST(RealTimeClockTest, TwelveHours) {
    Registers r = usual();
    r[0xb] = 0;
    r[4] = 0x83;  // 3 in the afternoon
    EXPECT_EQ(read(r), kThen);
    r[4] = 0x03;
    EXPECT_EQ(read(r), kThen - 12 * 3600);
    r[4] = 0x12;  // midnight
    EXPECT_EQ(read(r), kThen - 15 * 3600);
    r[4] = 0x92;  // noon
    EXPECT_EQ(read(r), kThen - 3 * 3600);
}

TEST(RealTimeClockTest, WhatIsNotThereIsNoTime) {
    Registers ones;
    ones.fill(0xff);
    EXPECT_EQ(read(ones), 0u);
    EXPECT_EQ(read(Registers{}), 0u);  // day and month zero: the battery is empty
}

TEST(RealTimeClockTest, OneThatTurnsWhileItIsReadIsReadAgain) {
    Registers r = usual();
    r[0] = 0x59;
    unsigned reads = 0;
    const uint64_t seconds = RealTimeClock([&](uint8_t index) {
                                 // The minute ends behind the first read of the seconds.
                                 if (++reads == 3) {
                                     r[0] = 0x00;
                                     r[2] = 0x05;
                                 }
                                 return r[index];
                             }).seconds();
    EXPECT_EQ(seconds, kThen + 55);
}

TEST(RealTimeClockTest, OneThatNeverStandsStillIsGivenUp) {
    uint8_t second = 0;
    Registers r = usual();
    EXPECT_EQ(RealTimeClock([&](uint8_t index) -> uint8_t {
                  return index == 0 ? second++ & 0x7f : r[index];
              }).seconds(),
              0u);
}

}  // namespace
}  // namespace torii::hw::test
