#pragma once
// A PV network interface of this guest: connects by xenbus, sends and receives whole frames by one queue
// (net_front.h). Receives while it is polled.

#include <torii/guest/events.h>
#include <torii/guest/memory.h>
#include <torii/guest/xenbus.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "drivers/net_front.h"

namespace torii::guest {

class NetCard final : private NetFrontHost {
public:
    // Called from poll() with each frame; the bytes are valid during the call.
    using Receiver = void (*)(std::span<const uint8_t> frame, const NetFrameInfo& info, void* argument);

    // Not constant: a global one is a std::optional that guest_main fills.
    NetCard(Receiver receiver, void* argument) : receiver_(receiver), argument_(argument) {}

    // Connects device/vif/NUMBER, waiting for its back end. False when there is none, or it does not come;
    // nothing is granted then.
    bool open(uint32_t number, uint64_t timeout_ns = 10'000'000'000);
    // Lets go of the back end. False when it does not let go of a page: all of them stay, and are lost.
    bool close();

    // Why the back end closed it, in its own words; empty when it said nothing. Valid until the next request
    // to the store.
    std::string_view reason() const { return bus_.backend_error(); }

    std::span<const uint8_t, 6> mac() const { return mac_; }

    bool send(std::span<const uint8_t> frame, const NetFrameInfo& info = {}) {
        return front_ && front_->send(frame, info);
    }
    // Takes what has come; with a time, waits for it. False when the back end broke the protocol.
    bool poll(uint64_t timeout_ns = 0);

private:
    static constexpr size_t kTxPages = 32;
    static constexpr size_t kRxPages = 64;

    abi::RawGrantRef grant(void* page, bool read_only) override;
    bool end_grant(abi::RawGrantRef gref) override;
    void notify_transmit() override { send_event(port_); }
    void notify_receive() override { send_event(port_); }
    void received(std::span<const uint8_t> frame, const NetFrameInfo& info) override {
        receiver_(frame, info, argument_);
    }

    bool connect(uint64_t timeout_ns);

    Receiver receiver_;
    void* argument_;
    XenbusDevice bus_;
    RawPort port_ = 0;
    bool signalled_ = false;
    std::array<uint8_t, 6> mac_{};
    std::optional<NetFront> front_;
    // The driver's own: a grant needs whole pages, and frames are put together behind them.
    struct alignas(abi::kPageSize) Memory {
        uint8_t tx_ring[abi::kPageSize];
        uint8_t rx_ring[abi::kPageSize];
        uint8_t tx_buffers[kTxPages * abi::kPageSize];
        uint8_t rx_buffers[kRxPages * abi::kPageSize];
        uint8_t frame[NetFront::kMaxFrame];
    } memory_;
};

}  // namespace torii::guest
