// Tells a level-triggered line that storms from one that is merely fast.
//
// A line that is still asserted when its end is said comes again before the domain has done anything. If that
// goes on, the domain's CPU does nothing else; so it is lack of progress that counts, not the rate. A device
// whose driver gets on now and then is never held back, however often it interrupts.
#pragma once

#include <cstdint>

#include "base/ids.h"

namespace torii {

// Of one line, under its lock.
class StormGuard {
public:
    static constexpr Nanoseconds kAtOnce = 20'000;  // after an end, a domain gets nothing done in less
    static constexpr unsigned kMost = 256;          // arrivals at once
    static constexpr unsigned kLaterTakes = 32;     // what one that came later takes off them
    // How long a line is held back. After it the line has kLaterTakes more arrivals at once.
    static constexpr Nanoseconds kHold = 2'000'000;

    // It came, and the domain is told. Clocks of two CPUs may differ a little: then it came at once.
    void came(Nanoseconds time) {
        if (time < ended_ + kAtOnce) {
            at_once_ = at_once_ < kMost ? at_once_ + 1 : kMost;
        } else {
            at_once_ = at_once_ > kLaterTakes ? at_once_ - kLaterTakes : 0;
        }
    }
    // The domain is done with it. True: it is to be held back.
    [[nodiscard]] bool ended(Nanoseconds time) {
        ended_ = time;
        return at_once_ == kMost;
    }
    void forget() { at_once_ = 0; }

private:
    Nanoseconds ended_ = 0;
    unsigned at_once_ = 0;
};

}  // namespace torii
