#pragma once
// What is logged of one device. A guest can give cause for sentences without end, by breaking its device and
// connecting it again; so of many in a short time some are only counted.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "common/rate_limit.h"

namespace torii::dom0 {

class LimitedLog {
public:
    // What to log of this sentence, if anything: with how many were left out before. `now` is monotonic.
    std::optional<std::string> pass(const std::string& sentence, std::chrono::nanoseconds now);

private:
    // Ten at once, then one in ten seconds.
    static constexpr uint64_t kCost = 10;
    backend::TokenBucket bucket_{{.per_second = 1, .burst = 10 * kCost}};
    uint64_t left_out_ = 0;
};

}  // namespace torii::dom0
