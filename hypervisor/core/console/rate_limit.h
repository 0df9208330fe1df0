// How many lines guests may cause: a burst of ten, refilled within five seconds.
#pragma once

#include <cstdint>

#include "base/ids.h"

namespace torii {

class RateLimit {
public:
    static constexpr uint64_t kBurst = 10;
    static constexpr Nanoseconds kRefill = 500'000'000;  // one more line

    // Whether one more line may be shown at `time`.
    bool allow(Nanoseconds time) {
        const uint64_t earned = (time - refilled_at_) / kRefill;
        if (earned != 0) {
            refilled_at_ += earned * kRefill;
            tokens_ = earned >= kBurst - tokens_ ? kBurst : tokens_ + earned;
        }
        if (tokens_ == 0) {
            ++left_out_;
            return false;
        }
        --tokens_;
        left_out_ = 0;
        return true;
    }
    // Lines refused since the last one that was allowed.
    [[nodiscard]] uint64_t left_out() const { return left_out_; }

private:
    uint64_t tokens_ = kBurst;
    uint64_t left_out_ = 0;
    Nanoseconds refilled_at_ = 0;
};

}  // namespace torii
