#pragma once
// What a client has still to be sent, bounded however slowly it reads.
//
// Answers are bounded by not serving a client that owes too much reading. Watch events come from others, so
// they are bounded here: beyond a limit an event is replaced by one for the watched path itself, and one that
// is already waiting is not added again. The protocol allows both: an event says only that something at or
// below its path may have changed.

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

namespace torii::dom0::xenstore {

class OutputQueue {
public:
    struct Limits {
        std::size_t events;
        std::size_t event_bytes;
    };

    void add_reply(std::string message);
    // True if the message was added. `merged` is the event to send instead of `message` beyond the limits.
    bool add_event(std::string message, std::string merged, const Limits& limits);
    // From the journal.
    void restore(std::string_view message) { add_reply(std::string(message)); }

    [[nodiscard]] bool empty() const { return messages_.empty(); }
    [[nodiscard]] std::size_t replies() const { return messages_.size() - events_; }
    [[nodiscard]] std::size_t events() const { return events_; }
    // The message that was added last. Precondition: not empty().
    [[nodiscard]] std::string_view newest() const { return messages_.back().bytes; }

    // The next bytes to send, of one message.
    [[nodiscard]] std::string_view front() const;
    // `count` bytes, of any number of messages, have been sent.
    void consume(std::size_t count);
    void clear() { *this = OutputQueue(); }

    // Calls visit(bytes) for every message, the first without what has been sent of it.
    template <typename Visit>
    void for_each(const Visit& visit) const {
        std::size_t skip = sent_of_front_;
        for (const Message& message : messages_) {
            visit(std::string_view(message.bytes).substr(skip));
            skip = 0;
        }
    }

private:
    struct Message {
        std::string bytes;
        bool is_event;
    };

    [[nodiscard]] bool is_waiting(std::string_view event) const;

    std::deque<Message> messages_;
    std::size_t sent_of_front_ = 0;
    std::size_t events_ = 0;
    std::size_t event_bytes_ = 0;
};

}  // namespace torii::dom0::xenstore
