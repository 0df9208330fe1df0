// How far the time stamp counter of another CPU is from one's own, by question and answer.
//
// One CPU reads its counter, asks, and reads it again when the answer is there; the other one reads its own
// between the two. So a round gives bounds of the offset, and many rounds give narrow ones. A time stamp
// counter that is set back by firmware, or that began later than others, has an offset; one that runs at
// another rate has none that fits all rounds.
#pragma once

#include <atomic>
#include <cstdint>

namespace torii {

class ClockOffset {
public:
    // The other CPU's `answer` lies between two readings of one's own. Differences of counters are below
    // 2^63.
    constexpr void add_round(uint64_t before, uint64_t answer, uint64_t after) {
        const auto least = static_cast<int64_t>(answer - after);
        const auto most = static_cast<int64_t>(answer - before);
        if (least > least_) least_ = least;
        if (most < most_) most_ = most;
    }
    // Whether there is an offset that fits all rounds; without one the two counters drift apart.
    [[nodiscard]] constexpr bool is_steady() const { return least_ <= most_; }
    // Whether nobody can tell that there are two counters.
    [[nodiscard]] constexpr bool is_none() const { return least_ <= 0 && most_ >= 0; }
    // The other counter minus one's own: none, or the middle of what fits.
    [[nodiscard]] constexpr int64_t ticks() const {
        if (is_none()) return 0;
        // Without overflow, and right of least_ > most_ too.
        return least_ / 2 + most_ / 2 + (least_ % 2 + most_ % 2) / 2;
    }

private:
    int64_t least_ = INT64_MIN;
    int64_t most_ = INT64_MAX;
};

// The place where two CPUs meet; `read` returns the counter of the CPU that calls it, in order with the loads
// and stores around.
class ClockExchange {
public:
    static constexpr uint32_t kRounds = 64;

    // One CPU asks while the other one answers; both return when all rounds are over.
    template <class Read>
    [[nodiscard]] ClockOffset ask(Read read) {
        ClockOffset offset;
        for (uint32_t round = 0; round < kRounds; ++round) {
            const uint64_t before = read();
            turn_.store(2 * round + 1, std::memory_order_release);
            await(2 * round + 2);
            offset.add_round(before, answer_.load(std::memory_order_relaxed), read());
        }
        turn_.store(0, std::memory_order_release);
        return offset;
    }
    template <class Read>
    void answer(Read read) {
        for (uint32_t round = 0; round < kRounds; ++round) {
            await(2 * round + 1);
            answer_.store(read(), std::memory_order_relaxed);
            turn_.store(2 * round + 2, std::memory_order_release);
        }
        await(0);
    }

private:
    void await(uint32_t turn) const {
        while (turn_.load(std::memory_order_acquire) != turn)
            asm volatile("pause");
    }

    std::atomic<uint32_t> turn_{0};
    std::atomic<uint64_t> answer_{0};
};

}  // namespace torii
