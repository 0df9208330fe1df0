#pragma once
// Counters of an interface. One thread counts, any may read.

#include <cstdint>
#include <string_view>

#include "common/statistics.h"

namespace torii::backend::net {

// Why frames were dropped.
enum class Drop : uint8_t {
    kMalformed,   // the guest's description of a packet makes no sense
    kGrant,       // a grant could not be copied from or to
    kOffload,     // a checksum or segments were asked for that this frame cannot have
    kFilter,      // not the guest's address
    kMulticast,   // of a group that the guest did not ask for
    kLinkDown,    // no carrier
    kBacklog,     // the receiver does not take frames fast enough
    kTooLarge,    // more than the guest takes in one frame
    kAttachment,  // the host's side refused it
    kRestart,     // in work when the daemon was killed
    kCount,
};
std::string_view name_of(Drop reason);

struct TrafficStatistics {
    uint64_t frames = 0;
    uint64_t bytes = 0;
    uint64_t dropped[static_cast<size_t>(Drop::kCount)] = {};

    uint64_t dropped_in_all() const {
        uint64_t sum = 0;
        for (const uint64_t count : dropped)
            sum += count;
        return sum;
    }
};

struct NetStatistics {
    TrafficStatistics from_guest;
    TrafficStatistics to_guest;
    uint64_t events_sent = 0;  // to the guest
    uint64_t copy_calls = 0;   // batches of grant copies
};

class TrafficCounters {
public:
    void passed(size_t bytes) {
        frames_.add(1);
        bytes_.add(bytes);
    }
    void dropped(Drop reason, uint64_t count = 1) { dropped_[static_cast<size_t>(reason)].add(count); }
    TrafficStatistics get() const;

private:
    Counter frames_;
    Counter bytes_;
    Counter dropped_[static_cast<size_t>(Drop::kCount)];
};

struct NetCounters {
    TrafficCounters from_guest;
    TrafficCounters to_guest;
    Counter events_sent;
    Counter copy_calls;

    NetStatistics get() const;
};

}  // namespace torii::backend::net
