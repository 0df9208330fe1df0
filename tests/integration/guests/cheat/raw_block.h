#pragma once
// The disk's ring in the hands of a cheat: every field can be anything at any time.

#include <torii/abi/io/blkif.h>
#include <torii/guest/events.h>
#include <torii/ring/layout.h>

#include <array>

#include "cheat.h"

namespace torii::cheat {

class RawBlock {
public:
    static constexpr uint32_t kEntries = 32;
    static constexpr unsigned kPages = 8;
    static constexpr uint64_t kNever = ~uint64_t{0};
    using Layout = ring::Layout<abi::BlockRequest, abi::BlockResponse>;

    // Connects, with `instead` in place of what an honest driver would write. False when it is refused.
    bool connect(std::span<const Node> instead = {});
    bool served() const { return bus_.backend_state() == abi::XenbusState::kConnected; }
    // Waits until the back end has closed, and tells its sentence; a problem when it has not.
    void tell_closed();
    // Lets go of everything, from whatever state.
    void close();

    guest::XenbusDevice& bus() { return bus_; }
    abi::SharedRingHeader& header() { return layout().header(); }
    abi::BlockRequest& slot(uint32_t index) {
        return *reinterpret_cast<abi::BlockRequest*>(layout().entry(index));
    }
    const SharedPage& page(unsigned number) const { return pages_[number]; }
    abi::RawGrantRef ring_gref() const { return ring_.gref; }
    guest::RawPort port() const { return port_; }
    uint32_t produced() const { return produced_; }

    // One page of data, at its own place on the disk.
    abi::BlockRequest honest(abi::BlockOperation operation, unsigned page) const;
    void put(const abi::BlockRequest& request);
    // Shows what was put; with an event.
    void publish();
    // Waits for an answer to everything that was put; adds them up.
    void wait(Answers& answers);
    // The same, of what was put and answered long ago: the ring's entries have been used again since.
    void catch_up(Answers& answers);
    void exchange(Answers& answers) {
        publish();
        wait(answers);
    }
    void ask(const abi::BlockRequest& request, Answers& answers) {
        put(request);
        exchange(answers);
    }
    // A read whose bytes are those of the image.
    bool honest_read();
    // Tells the outcome: whether honest requests are served, and whether every byte of the shared pages is
    // ours.
    void tell(const Answers& answers);

private:
    Layout layout() { return Layout(ring_.page, abi::kPageSize); }
    void count(const abi::BlockResponse& response, Answers& answers);

    guest::XenbusDevice bus_;
    SharedPage ring_;
    std::array<SharedPage, kPages> pages_;
    guest::RawPort port_ = 0;
    uint32_t produced_ = 0;
    uint32_t consumed_ = 0;
};

// The disk; one connection at a time.
RawBlock& disk();

}  // namespace torii::cheat
