#include "core/memory/allocator.h"

#include <gtest/gtest.h>

#include "base/frame.h"
#include "fakes/fake_machine.h"

namespace torii::test {
namespace {

constexpr uint64_t kFramesAtOnce = 16;

// As an idle CPU does until it may sleep; false when it never may.
bool scrub_everything() {
    const uint64_t most = free_frame_count();
    for (uint64_t calls = 0; calls <= most; ++calls)
        if (!scrub_some(kFramesAtOnce)) return true;
    return false;
}

TEST(AllocatorTest, ScrubbingComesToAnEnd) {
    (void)fakes::machine();
    const uint64_t before = free_frame_count();
    EXPECT_TRUE(scrub_everything());
    EXPECT_EQ(free_frame_count(), before);
    EXPECT_FALSE(scrub_some(kFramesAtOnce));
}

TEST(AllocatorTest, WhatIsFreedBesideCleanMemoryIsScrubbedAndMergesAgain) {
    (void)fakes::machine();
    ASSERT_TRUE(scrub_everything());
    constexpr unsigned kOrder = 6;
    Result<Mfn> block = allocate_frames(kOrder);
    ASSERT_TRUE(block.ok());
    for (uint64_t i = 0; i < uint64_t{1} << kOrder; ++i) {
        *fakes::machine().guest_view<uint64_t>(block.value() + i) = 7;
        free_frames(block.value() + i, 0, true);
    }
    EXPECT_TRUE(scrub_everything());
    // Without zeroing: what comes is as the idle CPU left it.
    Result<Mfn> again = allocate_frames(kOrder, {.keep_content = true});
    ASSERT_TRUE(again.ok());
    for (uint64_t i = 0; i < uint64_t{1} << kOrder; ++i)
        EXPECT_EQ(*fakes::machine().guest_view<uint64_t>(again.value() + i), 0u);
    free_frames(again.value(), kOrder, false);
}

}  // namespace
}  // namespace torii::test
