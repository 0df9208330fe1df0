#include "common/rate_limit.h"

#include <gtest/gtest.h>

#include "common/statistics.h"

namespace torii::backend {
namespace {

using namespace std::chrono_literals;

TEST(TokenBucket, WithoutALimitNothingWaits) {
    TokenBucket bucket;
    bucket.take(UINT64_MAX);
    EXPECT_EQ(bucket.wait(1s), 0ns);
}

TEST(TokenBucket, ABurstThenTheRate) {
    TokenBucket bucket({.per_second = 100, .burst = 10});
    std::chrono::nanoseconds now = 5s;
    unsigned at_once = 0;
    while (bucket.wait(now) == 0ns) {
        bucket.take(1);
        ++at_once;
    }
    EXPECT_EQ(at_once, 10u);
    unsigned passed = 0;
    const auto end = now + 10s;
    while (now < end) {
        const auto wait = bucket.wait(now);
        if (wait == 0ns) {
            bucket.take(1);
            ++passed;
        } else {
            now += wait;
        }
    }
    EXPECT_NEAR(passed, 1000, 2);
}

TEST(TokenBucket, PiecesLargerThanTheBurstKeepTheRate) {
    TokenBucket bucket({.per_second = 1'000'000, .burst = 4096});
    std::chrono::nanoseconds now = 0s;
    uint64_t passed = 0;
    while (now < 100s) {
        const auto wait = bucket.wait(now);
        if (wait == 0ns) {
            bucket.take(1 << 20);
            passed += 1 << 20;
        } else {
            now += wait;
        }
    }
    EXPECT_NEAR(static_cast<double>(passed), 100e6, 2e6);
}

TEST(TokenBucket, ExtremesDoNotOverflow) {
    TokenBucket bucket({.per_second = UINT64_MAX, .burst = UINT64_MAX});
    EXPECT_EQ(bucket.wait(0ns), 0ns);
    for (unsigned i = 0; i < 4; ++i)
        bucket.take(UINT64_MAX);
    EXPECT_GT(bucket.wait(1ns), 1s);
    EXPECT_EQ(bucket.wait(std::chrono::nanoseconds::max()), 0ns);
    TokenBucket slow({.per_second = 1, .burst = 1});
    EXPECT_EQ(slow.wait(10s), 0ns);
    slow.take(UINT64_MAX);
    EXPECT_GT(slow.wait(5s), 1h) << "time that goes back refills nothing";
}

TEST(LatencyHistogram, BucketsAndQuantiles) {
    LatencyHistogram histogram;
    for (unsigned i = 0; i < 99; ++i)
        histogram.add(1500ns);
    histogram.add(3ms);
    histogram.add(-1ns);
    const auto seen = histogram.snapshot();
    EXPECT_EQ(seen.total, 101u);
    EXPECT_EQ(seen.counts[0], 1u);
    EXPECT_EQ(seen.counts[1], 99u);
    EXPECT_EQ(seen.quantile(0.5), 2us);
    EXPECT_EQ(seen.quantile(1.0), 4096us);
    EXPECT_EQ(LatencyHistogram::bucket(std::chrono::nanoseconds::max()), LatencyHistogram::kBuckets - 1);
    EXPECT_EQ(LatencyHistogram().snapshot().quantile(0.5), 0ns);
}

}  // namespace
}  // namespace torii::backend
