#pragma once
// A limit on how much passes in a time, with bursts: a bucket that fills steadily and is emptied by what
// passes. What passes may be larger than what is in the bucket: then nothing passes until it is full enough
// again, so that the rate holds in the long run for pieces of any size.

#include <chrono>
#include <cstdint>

namespace torii::backend {

struct RateLimit {
    uint64_t per_second = 0;  // 0: no limit
    uint64_t burst = 0;       // what may pass at once after a pause; 0: what passes in a second

    bool operator==(const RateLimit&) const = default;
};

class TokenBucket {
public:
    explicit TokenBucket(RateLimit limit = {}) { set(limit); }

    // Takes effect at once, with a full bucket.
    void set(RateLimit limit);
    const RateLimit& limit() const { return limit_; }
    bool limited() const { return limit_.per_second != 0; }

    // Zero when something may pass; otherwise how long it must wait. `now` is monotonic.
    std::chrono::nanoseconds wait(std::chrono::nanoseconds now);
    // Something passes.
    void take(uint64_t amount);

private:
    RateLimit limit_;
    // In units of 1 / per_second tokens each nanosecond: tokens * 10^9, so that nothing is lost by rounding.
    __int128 level_ = 0;
    __int128 capacity_ = 0;
    std::chrono::nanoseconds filled_at_{-1};
};

}  // namespace torii::backend
