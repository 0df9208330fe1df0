#pragma once
// The back end of a request-response ring whose requests in work are kept in memory that outlives the process
// (SharedRecord). A process may die at any instruction; the next one resumes, and each request gets exactly
// one response.
//
// Why the ring alone does not suffice: responses come in any order and overwrite the ring's slots, so a
// request that was taken may be gone from the ring while it is in work.
//
// The steps, each a store that happens or does not (memory of a killed process is as its program order left
// it):
//   take    1 copy of the request and its index into a free slot   2 slot is kTaken   3 consumed + 1
//   put     4 response and its index into the slot   5 slot is kAnswered   6 response into the ring
//   publish 7 the ring's rsp_prod                     8 slot is free
// and what a successor makes of what it finds:
//   after 2, before 3: the slot's index is `consumed`, so the request still lies in the ring, for nothing was
//     answered beyond `consumed`: the slot is freed, the request is taken again; nothing was done for it yet
//   after 3: it is in work; its copy is carried out again
//   after 5, before 7: the slot's response index is not below rsp_prod: the response is put again, at the
//     same place
//   after 7: it is below: the guest has it, the slot is freed
// rsp_prod lies in the guest's memory. A guest that changes it makes the ring not fit the record, which ends
// its device, or confuses itself.

#include <torii/ring/back_ring.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "common/fail_point.h"

namespace torii::backend {

template <typename Request, typename Response>
class DurableRing {
public:
    // Of the record of a ring of that many entries. Its beginning must be aligned to 8 bytes.
    static size_t record_bytes(uint32_t entries) { return sizeof(Header) + entries * sizeof(Slot); }
    static uint32_t entries(size_t ring_bytes) {
        constexpr size_t kEntry = std::max(sizeof(Request), sizeof(Response));
        return abi::ring_entries(ring_bytes, kEntry);
    }

    // A ring that nobody served since the frontend made it, or whose record is gone: responses continue after
    // the last one published.
    static DurableRing start(std::span<std::byte> ring, std::span<std::byte> record, FailPointHook hook) {
        DurableRing result(BackRing::attach(ring.data(), ring.size()), record, std::move(hook));
        std::fill(record.begin(), record.end(), std::byte{0});
        result.header().entries = result.ring_.capacity();
        store(result.header().consumed, result.ring_.consumed());
        for (uint32_t i = result.capacity(); i-- > 0;)
            result.free_.push_back(i);
        return result;
    }

    // Goes on where another process stopped. Nothing when the ring does not fit the record: the guest wrote
    // where only the back end may. unfinished() then names what must be carried out again; what was only not
    // published yet has been put, and needs publish().
    static std::optional<DurableRing> resume(std::span<std::byte> ring, std::span<std::byte> record,
                                             FailPointHook hook) {
        const uint32_t produced = BackRing::attach(ring.data(), ring.size()).published();
        const uint32_t consumed = reinterpret_cast<const Header*>(record.data())->consumed;
        DurableRing result(BackRing::resume(ring.data(), ring.size(), consumed, produced), record,
                           std::move(hook));
        if (!result.recover()) return std::nullopt;
        return result;
    }

    uint32_t capacity() const { return ring_.capacity(); }

    // The slot of the next request; nothing when there is none or the peer broke the ring.
    std::optional<uint32_t> take() {
        if (free_.empty()) return std::nullopt;  // as many in work as the ring has entries
        const uint32_t index = ring_.consumed();
        const std::optional<Request> request = ring_.take();
        if (!request) return std::nullopt;
        const uint32_t number = free_.back();
        free_.pop_back();
        Slot& slot = slots()[number];
        slot.request = *request;
        slot.request_index = index;
        store(slot.state, kTaken);
        reach(hook_, "ring.copied");
        store(header().consumed, index + 1);
        reach(hook_, "ring.taken");
        return number;
    }

    const Request& request(uint32_t slot) const { return slots()[slot].request; }

    // Not visible to the peer before publish(). The slot must be one taken and not answered.
    void put(uint32_t number, const Response& response) {
        Slot& slot = slots()[number];
        slot.response = response;
        slot.response_index = ring_.produced();
        store(slot.state, kAnswered);
        reach(hook_, "ring.answered");
        (void)ring_.put(response);  // there is room for one per request taken
        reach(hook_, "ring.put");
        answered_.push_back(number);
    }

    // Shows the peer all that was put. True when it asked for an event.
    bool publish() {
        if (answered_.empty()) return false;
        const bool event = ring_.publish();
        reach(hook_, "ring.published");
        for (const uint32_t number : answered_) {
            store(slots()[number].state, kFree);
            free_.push_back(number);
            reach(hook_, "ring.freed");
        }
        answered_.clear();
        return event;
    }

    bool enable_events() { return ring_.enable_events(); }
    bool broken() const { return ring_.broken(); }
    // Requests taken and not yet published.
    uint32_t in_work() const { return capacity() - static_cast<uint32_t>(free_.size()); }
    // Slots of what another process took and did not answer, in the order in which it took them.
    const std::vector<uint32_t>& unfinished() const { return unfinished_; }

private:
    using BackRing = ring::BackRing<Request, Response>;
    enum State : uint32_t { kFree = 0, kTaken = 1, kAnswered = 2 };
    struct Header {
        uint32_t entries;
        uint32_t consumed;
    };
    struct Slot {
        uint32_t state;
        uint32_t request_index;
        uint32_t response_index;
        uint32_t padding;
        Response response;
        Request request;
    };

    DurableRing(BackRing ring, std::span<std::byte> record, FailPointHook hook)
        : ring_(ring), record_(record), hook_(std::move(hook)) {}

    // In program order, and not merged with others: what a killed process leaves is what it had stored.
    static void store(uint32_t& word, uint32_t value) { ring::store_own_index(word, value); }

    Header& header() const { return *reinterpret_cast<Header*>(record_.data()); }
    Slot* slots() const { return reinterpret_cast<Slot*>(record_.data() + sizeof(Header)); }

    bool recover() {
        if (header().entries != capacity()) return false;
        std::vector<uint32_t> unpublished;
        for (uint32_t i = capacity(); i-- > 0;) {
            Slot& slot = slots()[i];
            const bool not_counted = slot.request_index == ring_.consumed();
            const bool seen = static_cast<int32_t>(slot.response_index - ring_.produced()) < 0;
            if (slot.state == kTaken && !not_counted) {
                unfinished_.push_back(i);
            } else if (slot.state == kAnswered && !seen) {
                unpublished.push_back(i);
            } else {
                store(slot.state, kFree);
                free_.push_back(i);
            }
        }
        if (unfinished_.size() + unpublished.size() != ring_.unanswered()) return false;
        const auto by = [this](uint32_t Slot::*index, uint32_t base) {
            return [this, index, base](uint32_t a, uint32_t b) {
                return slots()[a].*index - base < slots()[b].*index - base;
            };
        };
        std::sort(unpublished.begin(), unpublished.end(), by(&Slot::response_index, ring_.produced()));
        std::sort(unfinished_.begin(), unfinished_.end(),
                  by(&Slot::request_index, ring_.consumed() - capacity()));
        for (const uint32_t number : unpublished) {
            if (slots()[number].response_index != ring_.produced()) return false;
            (void)ring_.put(slots()[number].response);
            answered_.push_back(number);
        }
        return true;
    }

    BackRing ring_;
    std::span<std::byte> record_;
    FailPointHook hook_;
    std::vector<uint32_t> free_;
    std::vector<uint32_t> answered_;
    std::vector<uint32_t> unfinished_;
};

}  // namespace torii::backend
