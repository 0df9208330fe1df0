#pragma once
// The back end of a request-response ring: it takes requests and puts responses. It hands out copies, so that
// a request cannot change between its check and its use. A peer that claims more requests than the ring has
// slots breaks the ring.
//
// Responses go into the slots of requests already taken, so there is always room for one per request; put()
// refuses more.

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
        return ring;
    }

    // Goes on where the caller knows that another back end stood: it had taken the requests before `consumed`
    // and published the responses before `produced`.
    static BackRing resume(void* memory, size_t bytes, uint32_t consumed, uint32_t produced) {
        BackRing ring(memory, bytes);
        ring.request_consumed_ = consumed;
        ring.response_produced_ = produced;
        ring.response_published_ = produced;
        return ring;
    }

    uint32_t capacity() const { return layout_.count(); }

    // Running indices: requests taken, responses put, responses published.
    uint32_t consumed() const { return request_consumed_; }
    uint32_t produced() const { return response_produced_; }
    uint32_t published() const { return response_published_; }
    // What the ring says; the peer can write there.
    uint32_t published_in_ring() const { return load_peer_index(layout_.header().rsp_prod); }

    // The next request, copied out; nothing when there is none or the peer broke the ring.
    std::optional<Request> take() {
        if (!has_request()) return std::nullopt;
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

    // Shows the peer all that was put. True when it asked for an event.
    bool publish() {
        abi::SharedRingHeader& header = layout_.header();
        const uint32_t before = response_published_;
        store_own_index(header.rsp_prod, response_produced_);
        response_published_ = response_produced_;
        full_barrier();
        return response_produced_ - load_relaxed(header.rsp_event) < response_produced_ - before;
    }

    // Asks for an event at the next request. True when one is already there: go on taking.
    bool enable_events() {
        if (has_request()) return true;
        store_own_index(layout_.header().req_event, request_consumed_ + 1);
        full_barrier();
        return has_request();
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
        return !broken_ && produced != request_consumed_;
    }

    Layout<Request, Response> layout_;
    uint32_t request_consumed_ = 0;
    uint32_t response_produced_ = 0;
    uint32_t response_published_ = 0;
    bool broken_ = false;
};

}  // namespace torii::ring
