// When translations were dropped, against when they went out of use.
//
// A frame is stamped when its last dangerous translation leaves the page tables. Before it gets a new use,
// each CPU that may remember the translation must have flushed *after* that. Both moments are epochs of one
// clock. Loading CR3 flushes, and happens twice in a guest's system call: so a flush only reads the clock, as
// long as nobody has taken a stamp in the current epoch. The first flush behind a stamp begins the next one.
//
// THE RULE: flushed_at > stamp means that the flush began after the stamp was taken.
//   A flush reads its epoch before it drops anything. If it reads a later one than a stamp has, the clock
//   moved between the two, and so did time. A stamp is read after the page-table entry was changed, by a
//   locked instruction (or another full barrier).
#pragma once

#include <atomic>
#include <cstdint>

namespace torii {

// Stamps and moments of flushes: epochs, modulo 2^31. Of a stamp that is older than half of that it can't be
// told any more whether a flush was after it: then it looks as if none was, and one flush too many is made.
using FlushEpoch = uint32_t;

// In a cache line of its own: nothing else should wait where somebody flushes.
class alignas(64) FlushClock {
public:
    constexpr explicit FlushClock(FlushEpoch start = 1) : word_(start << 1) {}

    // For a translation that has just gone out of the tables.
    [[nodiscard]] FlushEpoch take_stamp() {
        uint32_t seen = word_.load(std::memory_order_acquire);
        while ((seen & kStamped) == 0 && !word_.compare_exchange_weak(seen, seen | kStamped)) {
        }
        return seen >> 1;
    }

    // Before a CPU flushes: what its flushed_at is to be afterwards. `all_must_flush` becomes true once in
    // 2^28 epochs: whoever gets it makes every CPU flush that may remember translations, so that none falls
    // behind by half of the range.
    [[nodiscard]] FlushEpoch begin_flush(bool& all_must_flush) {
        uint32_t seen = word_.load(std::memory_order_acquire);
        // When another CPU is quicker, what it leaves is a later epoch too.
        if ((seen & kStamped) != 0 && word_.compare_exchange_strong(seen, seen + 1)) {
            ++seen;
            all_must_flush = ((seen >> 1) & (kReminder - 1)) == 0;
        }
        return seen >> 1;
    }

    [[nodiscard]] static constexpr bool is_after(FlushEpoch flushed_at, FlushEpoch stamp) {
        return static_cast<int32_t>((flushed_at - stamp) << 1) > 0;
    }

private:
    static constexpr FlushEpoch kReminder = FlushEpoch{1} << 28;
    static constexpr uint32_t kStamped = 1;  // the rest is the epoch
    std::atomic<uint32_t> word_;
};

}  // namespace torii
