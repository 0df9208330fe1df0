#pragma once
// The front end of a request-response ring: it puts requests and takes responses. The peer may write anything
// anywhere in the shared page; a peer that claims responses to requests never made breaks the ring, and
// nothing more is taken from it.
//
// Usage: put() ..., then if (publish()) send the event. On an event: while (auto response = take()) ...; and
// go on until enable_events() returns false, or else a response that came just before the event was asked for
// would lie unseen.

#include <torii/ring/layout.h>
#include <torii/ring/shared_memory.h>

#include <cstdint>
#include <optional>

namespace torii::ring {

template <typename Request, typename Response>
class FrontRing {
public:
    // Makes the shared area an empty ring. The back end must not be attached yet.
    FrontRing(void* memory, size_t bytes) : layout_(memory, bytes) {
        abi::SharedRingHeader& header = layout_.header();
        header = {};
        header.req_event = 1;
        store_own_index(header.rsp_event, 1);
    }

    uint32_t capacity() const { return layout_.count(); }

    // Requests that can be put before a response must be taken.
    uint32_t free_requests() const { return capacity() - outstanding(); }

    // False when the ring is full. Not visible to the peer before publish().
    bool put(const Request& request) {
        if (free_requests() == 0) return false;
        __builtin_memcpy(layout_.entry(request_produced_), &request, sizeof(request));
        ++request_produced_;
        return true;
    }

    // Shows the peer all that was put. True when it asked for an event.
    bool publish() {
        abi::SharedRingHeader& header = layout_.header();
        const uint32_t before = request_published_;
        store_own_index(header.req_prod, request_produced_);
        request_published_ = request_produced_;
        full_barrier();
        return request_produced_ - load_relaxed(header.req_event) < request_produced_ - before;
    }

    // The next response, copied out; nothing when there is none or the peer broke the ring.
    std::optional<Response> take() {
        if (!has_response()) return std::nullopt;
        Response response;
        copy_once(&response, layout_.entry(response_consumed_), sizeof(response));
        ++response_consumed_;
        return response;
    }

    // Asks for an event at the next response. True when one is already there: go on taking.
    bool enable_events() {
        if (has_response()) return true;
        store_own_index(layout_.header().rsp_event, response_consumed_ + 1);
        full_barrier();
        return has_response();
    }

    // The peer claimed more responses than there were requests.
    bool broken() const { return broken_; }

private:
    uint32_t outstanding() const { return request_produced_ - response_consumed_; }

    bool has_response() {
        const uint32_t available = load_peer_index(layout_.header().rsp_prod) - response_consumed_;
        if (available > request_published_ - response_consumed_) broken_ = true;
        return !broken_ && available != 0;
    }

    Layout<Request, Response> layout_;
    uint32_t request_produced_ = 0;
    uint32_t request_published_ = 0;
    uint32_t response_consumed_ = 0;
    bool broken_ = false;
};

}  // namespace torii::ring
