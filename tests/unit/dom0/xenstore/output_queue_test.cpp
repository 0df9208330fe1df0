#include "xenstore/output_queue.h"

#include <gtest/gtest.h>

namespace torii::dom0::xenstore {
namespace {

constexpr OutputQueue::Limits kLimits{100, 10'000};

TEST(OutputQueue, KeepsOrderAndCounts) {
    OutputQueue queue;
    queue.add_reply("abc");
    EXPECT_TRUE(queue.add_event("event", "merged", kLimits));
    queue.add_reply("de");
    EXPECT_EQ(queue.replies(), 2u);
    EXPECT_EQ(queue.events(), 1u);
    EXPECT_EQ(queue.front(), "abc");
    queue.consume(2);
    EXPECT_EQ(queue.front(), "c");
    queue.consume(1 + 5 + 1);
    EXPECT_EQ(queue.front(), "e");
    EXPECT_EQ(queue.replies(), 1u);
    EXPECT_EQ(queue.events(), 0u);
    queue.consume(1);
    EXPECT_TRUE(queue.empty());
}

TEST(OutputQueue, FewRepeatedEventsAreAllSent) {
    OutputQueue queue;
    for (int i = 0; i != 50; ++i)
        EXPECT_TRUE(queue.add_event("same", "merged", kLimits));
    EXPECT_EQ(queue.events(), 50u);
}

TEST(OutputQueue, ManyAreMerged) {
    OutputQueue queue;
    for (int i = 0; i != 1000; ++i)
        queue.add_event("e" + std::to_string(i), "merged", kLimits);
    EXPECT_EQ(queue.events(), 101u);
    EXPECT_EQ(queue.newest(), "merged");
    EXPECT_FALSE(queue.add_event("e7", "merged", kLimits)) << "waits already";
}

TEST(OutputQueue, BytesAreLimited) {
    OutputQueue queue;
    for (int i = 0; i != 50; ++i)
        queue.add_event(std::to_string(i) + std::string(1000, 'x'), "merged", kLimits);
    EXPECT_LE(queue.events(), 12u);
}

TEST(OutputQueue, HalfSentEventIsNotTakenForAWaitingOne) {
    OutputQueue queue;
    for (int i = 0; i != 64; ++i)
        queue.add_event("e" + std::to_string(i), "merged", kLimits);
    queue.consume(1);
    EXPECT_TRUE(queue.add_event("e0", "merged", kLimits));
}

TEST(OutputQueue, LeavesOutWhatWasSent) {
    OutputQueue queue;
    queue.add_reply("abc");
    queue.add_reply("de");
    queue.consume(2);
    std::string rest;
    queue.for_each([&](std::string_view bytes) { rest.append(bytes).append("|"); });
    EXPECT_EQ(rest, "c|de|");
}

}  // namespace
}  // namespace torii::dom0::xenstore
