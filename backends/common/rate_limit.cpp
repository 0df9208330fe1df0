#include "common/rate_limit.h"

#include <algorithm>

namespace torii::backend {
namespace {

constexpr __int128 kNanosecond = 1'000'000'000;
constexpr int64_t kLongPause = 1'000'000'000'000'000'000;  // fills any bucket, and overflows nothing

}  // namespace

void TokenBucket::set(RateLimit limit) {
    limit_ = limit;
    capacity_ = kNanosecond * (limit.burst != 0 ? limit.burst : limit.per_second);
    level_ = capacity_;
    filled_at_ = std::chrono::nanoseconds(-1);
}

std::chrono::nanoseconds TokenBucket::wait(std::chrono::nanoseconds now) {
    if (!limited()) return {};
    if (filled_at_.count() >= 0) {
        const __int128 passed = std::clamp<int64_t>((now - filled_at_).count(), 0, kLongPause);
        level_ = std::min(capacity_, level_ + passed * limit_.per_second);
    }
    filled_at_ = now;
    if (level_ > 0) return {};
    // Until one token's worth of a nanosecond is there.
    const __int128 nanoseconds = (-level_ + limit_.per_second) / limit_.per_second;
    return std::chrono::nanoseconds(static_cast<int64_t>(std::min<__int128>(nanoseconds, INT64_MAX)));
}

void TokenBucket::take(uint64_t amount) {
    if (limited()) level_ -= kNanosecond * amount;
}

}  // namespace torii::backend
