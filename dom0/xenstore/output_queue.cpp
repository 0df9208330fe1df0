#include "xenstore/output_queue.h"

#include <algorithm>
#include <utility>

namespace torii::dom0::xenstore {
namespace {

// A client that reads is sent every event, also repeated ones, as stock servers do.
constexpr std::size_t kRepeatedEventsBelow = 64;

}  // namespace

void OutputQueue::add_reply(std::string message) {
    messages_.push_back({std::move(message), false});
}

bool OutputQueue::add_event(std::string message, std::string merged, const Limits& limits) {
    if (events_ >= kRepeatedEventsBelow && is_waiting(message)) return false;
    if (events_ >= limits.events || event_bytes_ >= limits.event_bytes) {
        // One for each watch at most, and the number of watches is bounded.
        if (is_waiting(merged)) return false;
        message = std::move(merged);
    }
    ++events_;
    event_bytes_ += message.size();
    messages_.push_back({std::move(message), true});
    return true;
}

std::string_view OutputQueue::front() const {
    return messages_.empty() ? std::string_view{}
                             : std::string_view(messages_.front().bytes).substr(sent_of_front_);
}

void OutputQueue::consume(std::size_t count) {
    while (count != 0) {
        Message& first = messages_.front();
        const std::size_t step = std::min(count, first.bytes.size() - sent_of_front_);
        count -= step;
        sent_of_front_ += step;
        if (sent_of_front_ < first.bytes.size()) return;
        if (first.is_event) {
            --events_;
            event_bytes_ -= first.bytes.size();
        }
        messages_.pop_front();
        sent_of_front_ = 0;
    }
}

bool OutputQueue::is_waiting(std::string_view event) const {
    // The first message may be half sent: its reader may already have acted on it.
    return std::any_of(messages_.begin() + (messages_.empty() ? 0 : 1), messages_.end(),
                       [&](const Message& message) { return message.is_event && message.bytes == event; });
}

}  // namespace torii::dom0::xenstore
