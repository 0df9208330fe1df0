#include "core/sched/runstate.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace torii {
namespace {

// A reader on another CPU, looking after every single copy.
struct Area {
    abi::VcpuRunstateInfo memory{};
    std::vector<abi::VcpuRunstateInfo> seen;
    size_t fail_at = ~size_t{0};

    auto writer() {
        return [this](size_t offset, const void* from, size_t length) {
            if (seen.size() == fail_at) return false;
            std::memcpy(reinterpret_cast<char*>(&memory) + offset, from, length);
            seen.push_back(memory);
            return true;
        };
    }
};

abi::VcpuRunstateInfo sample() {
    return {static_cast<int32_t>(abi::RunState::kBlocked), 0, 777, {1, 2, 3, 4}};
}

TEST(RunstateTest, WithoutTheFlagItIsOneCopy) {
    Area area;
    EXPECT_TRUE(publish_runstate(sample(), false, area.writer()));
    EXPECT_EQ(area.seen.size(), 1u);
    EXPECT_EQ(area.memory.state_entry_time, 777u);
    EXPECT_EQ(area.memory.time[3], 4u);
}

TEST(RunstateTest, AReaderNeverTakesAHalfWrittenAreaForWhole) {
    Area area;
    area.memory = {0, 0, 5, {9, 9, 9, 9}};
    EXPECT_TRUE(publish_runstate(sample(), true, area.writer()));
    for (const auto& state : area.seen) {
        if ((state.state_entry_time & abi::kRunstateUpdate) != 0) continue;
        EXPECT_EQ(std::memcmp(&state, &area.memory, sizeof(state)), 0);
    }
    EXPECT_NE(area.seen.front().state_entry_time & abi::kRunstateUpdate, 0u);
    EXPECT_EQ(area.seen.front().time[0], 9u);  // marked before anything else changes
    EXPECT_EQ(area.memory.state_entry_time, 777u);
    EXPECT_EQ(area.memory.state, static_cast<int32_t>(abi::RunState::kBlocked));
}

TEST(RunstateTest, AnUnmappedAreaEndsIt) {
    for (size_t n = 0; n < 3; ++n) {
        Area area;
        area.fail_at = n;
        EXPECT_FALSE(publish_runstate(sample(), true, area.writer()));
        EXPECT_EQ(area.seen.size(), n);
    }
}

TEST(RunstateTest, TimesNeverRunBackwards) {
    RunstateClock clock;
    clock.begin(100);
    clock.change(abi::RunState::kRunning, 150);
    clock.change(abi::RunState::kBlocked, 140);  // another CPU's clock, a little behind
    const abi::VcpuRunstateInfo info = clock.snapshot(130);
    EXPECT_EQ(info.time[static_cast<int>(abi::RunState::kOffline)], 50u);
    EXPECT_EQ(info.time[static_cast<int>(abi::RunState::kRunning)], 0u);
    EXPECT_EQ(info.time[static_cast<int>(abi::RunState::kBlocked)], 0u);
}

}  // namespace
}  // namespace torii
