#pragma once
// Counters of a device: its thread writes them, anybody reads them. Each is exact; several read together may
// be of slightly different moments.

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>

namespace torii::backend {

// Written by one thread, so that adding needs no locked instruction.
class Counter {
public:
    void add(uint64_t amount) { value_.store(value() + amount, std::memory_order_relaxed); }
    uint64_t value() const { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<uint64_t> value_{0};
};

// Durations by powers of two: bucket n counts those of less than kShortest * 2^n, and the last all that are
// longer.
class LatencyHistogram {
public:
    static constexpr size_t kBuckets = 24;
    static constexpr std::chrono::nanoseconds kShortest{1'000};

    struct Snapshot {
        std::array<uint64_t, kBuckets> counts{};
        uint64_t total = 0;
        std::chrono::nanoseconds sum{0};

        // The duration below which `part` (0 to 1) of all lie, as the end of its bucket; zero when empty.
        std::chrono::nanoseconds quantile(double part) const {
            uint64_t seen = 0;
            for (size_t i = 0; i < kBuckets; ++i) {
                seen += counts[i];
                if (seen != 0 && static_cast<double>(seen) >= part * static_cast<double>(total)) {
                    return kShortest * (uint64_t{1} << i);
                }
            }
            return {};
        }
    };

    static size_t bucket(std::chrono::nanoseconds duration) {
        const auto units = static_cast<uint64_t>(duration.count() < 0 ? 0 : duration / kShortest);
        return std::min<size_t>(std::bit_width(units), kBuckets - 1);
    }
    void add(std::chrono::nanoseconds duration) {
        counts_[bucket(duration)].add(1);
        sum_.add(static_cast<uint64_t>(duration.count() < 0 ? 0 : duration.count()));
    }
    Snapshot snapshot() const {
        Snapshot result;
        for (size_t i = 0; i < kBuckets; ++i) {
            result.counts[i] = counts_[i].value();
            result.total += result.counts[i];
        }
        result.sum = std::chrono::nanoseconds(static_cast<int64_t>(sum_.value()));
        return result;
    }

private:
    std::array<Counter, kBuckets> counts_;
    Counter sum_;
};

}  // namespace torii::backend
