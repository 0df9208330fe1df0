// Handles against a model, at their limits, and between threads.
#include "core/grant/maptrack.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "core/memory/allocator.h"
#include "core/memory/heap.h"
#include "fakes/fake_machine.h"

namespace torii::test {
namespace {

class MaptrackTest : public testing::Test {
protected:
    void SetUp() override {
        (void)fakes::machine();
        heap_before_ = heap_frames_in_use();
    }
    // Slabs may stay half used; whole frames of handles must not.
    void TearDown() override { EXPECT_LE(heap_frames_in_use(), heap_before_ + 1); }

private:
    uint64_t heap_before_ = 0;
};

TEST_F(MaptrackTest, HandlesAreUniqueUpToTheLimit) {
    Maptrack track;
    ASSERT_TRUE(track.create(2).ok());
    std::set<uint32_t> seen;
    for (uint32_t i = 0; i < 2 * kMappingsPerFrame; ++i) {
        Result<GrantHandle> handle = track.reserve();
        ASSERT_TRUE(handle.ok());
        EXPECT_TRUE(seen.insert(handle.value().raw()).second);
    }
    EXPECT_EQ(track.reserve().error(), Errno::kENOSPC);
    EXPECT_EQ(track.in_use(), 2 * kMappingsPerFrame);
    for (const uint32_t handle : seen)
        track.release(GrantHandle(handle));
    EXPECT_EQ(track.in_use(), 0u);
    Result<GrantHandle> again = track.reserve();
    ASSERT_TRUE(again.ok());
    EXPECT_TRUE(seen.contains(again.value().raw()));
    track.release(again.value());
}

TEST_F(MaptrackTest, NoHandlesWithoutALimit) {
    Maptrack track;
    ASSERT_TRUE(track.create(0).ok());
    EXPECT_EQ(track.reserve().error(), Errno::kENOSPC);
    EXPECT_EQ(track.claim(GrantHandle(0)), nullptr);
}

TEST_F(MaptrackTest, OutOfMemoryIsSaidAndLeavesNothing) {
    Maptrack track;
    ASSERT_TRUE(track.create(4).ok());
    fail_allocation_after(1);
    Result<GrantHandle> first = track.reserve();
    ASSERT_TRUE(first.ok());
    std::vector<GrantHandle> held{first.value()};
    while (held.size() < kMappingsPerFrame)
        held.push_back(track.reserve().take());
    EXPECT_EQ(track.reserve().error(), Errno::kENOMEM);
    stop_failing_allocations();
    held.push_back(track.reserve().take());
    EXPECT_EQ(track.in_use(), held.size());
    for (const GrantHandle handle : held)
        track.release(handle);
}

TEST_F(MaptrackTest, OnlyCommittedHandlesAreClaimed) {
    Maptrack track;
    ASSERT_TRUE(track.create(1).ok());
    const GrantHandle handle = track.reserve().take();
    EXPECT_EQ(track.claim(handle), nullptr) << "reserved";
    track.at(handle).ref = GrantRef(5);
    Maptrack::commit(track.at(handle), GrantMapping::kHost | GrantMapping::kReadonly);
    GrantMapping* const mapping = track.claim(handle);
    ASSERT_NE(mapping, nullptr);
    EXPECT_EQ(mapping->ref, GrantRef(5));
    EXPECT_EQ(track.claim(handle), nullptr) << "claimed";
    Maptrack::commit(*mapping, GrantMapping::kDevice);
    ASSERT_NE(track.claim(handle), nullptr);
    track.release(handle);
    EXPECT_EQ(track.claim(handle), nullptr) << "released";
    EXPECT_EQ(track.claim(GrantHandle(kMappingsPerFrame)), nullptr) << "beyond";
    EXPECT_EQ(track.claim(GrantHandle(~0u)), nullptr) << "far beyond";
}

TEST_F(MaptrackTest, Model) {
    Maptrack track;
    ASSERT_TRUE(track.create(3).ok());
    std::map<uint32_t, uint32_t> model;  // handle -> ref
    std::mt19937 random(42);
    uint32_t next_ref = 0;
    for (unsigned step = 0; step < 30'000; ++step) {
        const uint32_t wanted = step / 5000 % 2 == 0 ? 60 : 35;  // fills, then drains
        if (random() % 100 < wanted) {
            Result<GrantHandle> handle = track.reserve();
            ASSERT_EQ(handle.ok(), model.size() < 3 * kMappingsPerFrame);
            if (!handle.ok()) continue;
            track.at(handle.value()).ref = GrantRef(++next_ref);
            Maptrack::commit(track.at(handle.value()), GrantMapping::kHost);
            ASSERT_TRUE(model.emplace(handle.value().raw(), next_ref).second);
        } else {
            const GrantHandle handle(random() % (3 * kMappingsPerFrame + 10));
            GrantMapping* const mapping = track.claim(handle);
            const auto known = model.find(handle.raw());
            ASSERT_EQ(mapping != nullptr, known != model.end());
            if (mapping == nullptr) continue;
            EXPECT_EQ(mapping->ref.raw(), known->second);
            track.release(handle);
            model.erase(known);
        }
        ASSERT_EQ(track.in_use(), model.size());
    }
    for (const auto& [handle, ref] : model) {
        ASSERT_NE(track.claim(GrantHandle(handle)), nullptr);
        track.release(GrantHandle(handle));
    }
}

// Many unmap one handle at once: exactly one gets it.
TEST_F(MaptrackTest, OneClaimWins) {
    Maptrack track;
    ASSERT_TRUE(track.create(1).ok());
    constexpr unsigned kThreads = 3;
    std::atomic<uint32_t> round{0};
    std::atomic<uint32_t> winners{0};
    std::atomic<unsigned> done{0};
    constexpr uint32_t kRounds = 2000;
    const GrantHandle handle = track.reserve().take();
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < kThreads; ++i) {
        threads.emplace_back([&] {
            for (uint32_t mine = 1; mine <= kRounds; ++mine) {
                while (round.load() < mine)
                    std::this_thread::yield();
                if (track.claim(handle) != nullptr) ++winners;
                ++done;
            }
        });
    }
    for (uint32_t now = 1; now <= kRounds; ++now) {
        winners = 0;
        done = 0;
        Maptrack::commit(track.at(handle), GrantMapping::kHost);
        round = now;
        while (done.load() < kThreads)
            std::this_thread::yield();
        ASSERT_EQ(winners.load(), 1u);
    }
    for (std::thread& thread : threads)
        thread.join();
    track.release(handle);
}

}  // namespace
}  // namespace torii::test
