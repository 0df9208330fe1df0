#include "base/flush_clock.h"

#include <gtest/gtest.h>

#include <thread>

namespace torii::test {
namespace {

FlushEpoch flush(FlushClock& clock) {
    bool ignored = false;
    return clock.begin_flush(ignored);
}

TEST(FlushClockTest, AFlushCountsForStampsBeforeItAndForNoneAfter) {
    FlushClock clock;
    const FlushEpoch before = flush(clock);
    const FlushEpoch stamp = clock.take_stamp();
    EXPECT_FALSE(FlushClock::is_after(before, stamp));
    const FlushEpoch after = flush(clock);
    EXPECT_TRUE(FlushClock::is_after(after, stamp));
    const FlushEpoch later = clock.take_stamp();
    EXPECT_FALSE(FlushClock::is_after(after, later));
}

TEST(FlushClockTest, FlushesAloneDoNotMoveTheClock) {
    FlushClock clock;
    const FlushEpoch first = flush(clock);
    for (int i = 0; i < 100; ++i)
        EXPECT_EQ(flush(clock), first);
    const FlushEpoch stamp = clock.take_stamp();
    EXPECT_EQ(clock.take_stamp(), stamp);
    EXPECT_EQ(flush(clock), stamp + 1);
    EXPECT_EQ(flush(clock), stamp + 1);
}

TEST(FlushClockTest, EpochsAreComparedAcrossTheWrap) {
    constexpr FlushEpoch kLast = (FlushEpoch{1} << 31) - 1;
    FlushClock clock(kLast);
    const FlushEpoch stamp = clock.take_stamp();
    EXPECT_EQ(stamp, kLast);
    const FlushEpoch after = flush(clock);
    EXPECT_EQ(after, 0u);
    EXPECT_TRUE(FlushClock::is_after(after, stamp));
    EXPECT_FALSE(FlushClock::is_after(stamp, after));
}

TEST(FlushClockTest, AllCpusAreMadeToFlushLongBeforeTheWrapCanMislead) {
    FlushClock clock((FlushEpoch{1} << 28) - 2);
    bool all_must_flush = false;
    (void)clock.take_stamp();
    (void)clock.begin_flush(all_must_flush);
    EXPECT_FALSE(all_must_flush);
    (void)clock.take_stamp();
    EXPECT_EQ(clock.begin_flush(all_must_flush), FlushEpoch{1} << 28);
    EXPECT_TRUE(all_must_flush);
    all_must_flush = false;
    (void)clock.begin_flush(all_must_flush);
    EXPECT_FALSE(all_must_flush) << "once";
}

// One thread takes entries out of use and stamps them, two others flush: what a flush began to look at before
// an entry went must never count as having come after it.
TEST(FlushClockTest, NoFlushCountsForAnEntryThatItCouldStillSee) {
    constexpr unsigned kRounds = 20000;
    FlushClock clock;
    std::atomic<unsigned> gone{0};  // entries [0, gone) are out of the tables
    std::atomic<FlushEpoch> stamps[kRounds]{};
    std::atomic<unsigned> stamped{0};
    std::atomic<unsigned> wrong{0};
    std::atomic<bool> go_on{true};
    const auto flusher = [&] {
        while (go_on.load()) {
            const FlushEpoch epoch = flush(clock);
            const unsigned seen_gone =
                gone.load();  // the flush itself: what is in the tables may be remembered from here on
            const unsigned known = stamped.load();
            for (unsigned i = seen_gone; i < known; ++i) {
                if (FlushClock::is_after(epoch, stamps[i].load())) ++wrong;
            }
        }
    };
    std::thread first(flusher);
    std::thread second(flusher);
    for (unsigned i = 0; i < kRounds; ++i) {
        gone.fetch_add(1);
        stamps[i].store(clock.take_stamp());
        stamped.fetch_add(1);
    }
    go_on = false;
    first.join();
    second.join();
    EXPECT_EQ(wrong.load(), 0u);
}

}  // namespace
}  // namespace torii::test
