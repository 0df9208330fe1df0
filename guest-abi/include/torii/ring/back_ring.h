#pragma once
// The back end of a request-response ring: it takes requests and puts responses. It hands out copies, so that
// a request cannot change between its check and its use. A peer that claims more requests than the ring has
// slots breaks the ring.
//
// Responses go into the slots of requests already taken, so there is always room for one per request; put()
// refuses more.
//
// A response overwrites a request before it is published. A back end that may be killed between the two, and
// whose successor must not take such a slot for a request, calls announce() first: the successor finds in
// uncertain() how many slots may have been overwritten. The note lies in the header's private field, which
// belongs to the back end. (Which response answers which request must then follow from the slot.)

#include <torii/ring/layout.h>
#include <torii/ring/shared_memory.h>

#include <cstdint>
#include <optional>

namespace torii::ring {

template <typename Request, typename Response>
class BackRing {
public:
    BackRing(void* memory, size_t bytes) : layout_(memory, bytes) {}

    // Joins a ring that another back end served before: goes on after the last response that was published.
    // Requests taken then and not answered are served again.
    static BackRing attach(void* memory, size_t bytes) {
        BackRing ring(memory, bytes);
        const uint32_t published = load_peer_index(ring.layout_.header().rsp_prod);
        ring.request_consumed_ = published;
        ring.response_produced_ = published;
        ring.response_published_ = published;
        ring.produced_seen_ = published;
        ring.uncertain_end_ = ring.announced();
        ring.forget_certain();
        return ring;
    }

    // Goes on where the caller knows that another back end stood: it had taken the requests before `consumed`
    // and published the responses before `produced`.
    static BackRing resume(void* memory, size_t bytes, uint32_t consumed, uint32_t produced) {
        BackRing ring(memory, bytes);
        ring.request_consumed_ = consumed;
        ring.produced_seen_ = consumed;
        ring.response_produced_ = produced;
        ring.response_published_ = produced;
        ring.uncertain_end_ = produced;
        return ring;
    }

    uint32_t capacity() const { return layout_.count(); }

    // Requests that can be taken now: so many calls of take() give one, whatever the peer does meanwhile.
    uint32_t available() { return has_request() ? produced_seen_ - request_consumed_ : 0; }

    // Running indices: requests taken, responses put, responses published.
    uint32_t consumed() const { return request_consumed_; }
    uint32_t produced() const { return response_produced_; }
    uint32_t published() const { return response_published_; }
    // What the ring says; the peer can write there.
    uint32_t published_in_ring() const { return load_peer_index(layout_.header().rsp_prod); }

    // The next request, copied out; nothing when there is none or the peer broke the ring.
    std::optional<Request> take() {
        if (broken_ || (request_consumed_ == produced_seen_ && !has_request())) return std::nullopt;
        Request request;
        copy_once(&request, layout_.entry(request_consumed_), sizeof(request));
        ++request_consumed_;
        return request;
    }

    // False when every request taken has its response already. Not visible to the peer before publish().
    bool put(const Response& response) {
        if (response_produced_ == request_consumed_) return false;
        __builtin_memcpy(layout_.entry(response_produced_), &response, sizeof(response));
        ++response_produced_;
        return true;
    }

    // Notes that `count` responses will be put before the next publish().
    void announce(uint32_t count) {
        // What a predecessor may have overwritten stays uncertain until it is answered.
        const uint32_t before = uncertain_end_ - response_produced_;
        const uint32_t end =
            before <= capacity() && before > count ? uncertain_end_ : response_produced_ + count;
        __builtin_memcpy(layout_.header().private_use, &end, sizeof(end));
        // For a successor in another process: what this one wrote before it was killed is there in order.
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    // Requests, from the next one to be taken, whose slots may hold responses that were never published.
    uint32_t uncertain() const {
        const uint32_t left = uncertain_end_ - request_consumed_;
        return left <= capacity() ? left : 0;
    }

    // Shows the peer all that was put. True when it asked for an event.
    bool publish() {
        abi::SharedRingHeader& header = layout_.header();
        const uint32_t before = response_published_;
        store_own_index(header.rsp_prod, response_produced_);
        response_published_ = response_produced_;
        forget_certain();
        full_barrier();
        return response_produced_ - load_relaxed(header.rsp_event) < response_produced_ - before;
    }

    // Asks for an event when `wanted` requests can be taken. True when they are there already: go on taking.
    bool enable_events(uint32_t wanted = 1) {
        if (available() >= wanted) return true;
        store_own_index(layout_.header().req_event, request_consumed_ + wanted);
        full_barrier();
        return available() >= wanted;
    }

    // Requests taken and not yet answered.
    uint32_t unanswered() const { return request_consumed_ - response_produced_; }

    // The peer claimed more requests than fit.
    bool broken() const { return broken_; }

private:
    bool has_request() {
        const uint32_t produced = load_peer_index(layout_.header().req_prod);
        // Slots between response_produced_ and request_consumed_ are still occupied by requests in work.
        if (produced - response_produced_ > capacity()) broken_ = true;
        // An index that goes back would make requests of what was taken already.
        if (produced - request_consumed_ > capacity()) broken_ = true;
        if (broken_) return false;
        produced_seen_ = produced;
        return produced != request_consumed_;
    }

    // The front end can write where the note lies too: it harms itself only.
    void forget_certain() {
        if (uncertain_end_ - response_published_ > capacity()) uncertain_end_ = response_published_;
    }
    uint32_t announced() const {
        uint32_t end;
        __builtin_memcpy(&end, layout_.header().private_use, sizeof(end));
        return end;
    }

    Layout<Request, Response> layout_;
    uint32_t request_consumed_ = 0;
    uint32_t response_produced_ = 0;
    uint32_t response_published_ = 0;
    uint32_t produced_seen_ = 0;
    uint32_t uncertain_end_ = 0;
    bool broken_ = false;
};

}  // namespace torii::ring
