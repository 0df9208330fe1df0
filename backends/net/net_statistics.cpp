#include "net/net_statistics.h"

namespace torii::backend::net {

std::string_view name_of(Drop reason) {
    switch (reason) {
        case Drop::kMalformed:
            return "malformed";
        case Drop::kGrant:
            return "grant";
        case Drop::kOffload:
            return "offload";
        case Drop::kFilter:
            return "filter";
        case Drop::kMulticast:
            return "multicast";
        case Drop::kLinkDown:
            return "link-down";
        case Drop::kBacklog:
            return "backlog";
        case Drop::kTooLarge:
            return "too-large";
        case Drop::kAttachment:
            return "attachment";
        case Drop::kRestart:
            return "restart";
        case Drop::kCount:
            break;
    }
    return "unknown";
}

TrafficStatistics TrafficCounters::get() const {
    TrafficStatistics result;
    result.frames = frames_.value();
    result.bytes = bytes_.value();
    for (size_t index = 0; index < static_cast<size_t>(Drop::kCount); ++index)
        result.dropped[index] = dropped_[index].value();
    return result;
}

NetStatistics NetCounters::get() const {
    return {from_guest.get(), to_guest.get(), events_sent.value(), copy_calls.value()};
}

}  // namespace torii::backend::net
