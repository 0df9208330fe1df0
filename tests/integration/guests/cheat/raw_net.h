#pragma once
// A card's rings in the hands of a cheat.

#include <torii/abi/io/netif.h>
#include <torii/guest/events.h>
#include <torii/ring/layout.h>

#include <array>

#include "cheat.h"

namespace torii::cheat {

class RawNet {
public:
    static constexpr uint32_t kEntries = 256;  // of either ring
    static constexpr unsigned kPages = 8;
    using Tx = ring::Layout<abi::TxRequest, abi::TxResponse>;
    using Rx = ring::Layout<abi::RxRequest, abi::RxResponse>;
    using Control = ring::Layout<abi::NetControlRequest, abi::NetControlResponse>;

    explicit RawNet(uint32_t number) : number_(number) {}

    bool connect(std::span<const Node> instead = {});
    bool served() const { return bus_.backend_state() == abi::XenbusState::kConnected; }
    void tell_closed();
    void close();

    guest::XenbusDevice& bus() { return bus_; }
    guest::RawPort port() const { return port_; }
    guest::RawPort control_port() const { return control_port_; }
    abi::RawGrantRef tx_gref() const { return tx_.gref; }
    Tx tx() { return Tx(tx_.page, abi::kPageSize); }
    Rx rx() { return Rx(rx_.page, abi::kPageSize); }
    Control control() { return Control(control_.page, abi::kPageSize); }
    // Granted writable; the first holds the question, the second receives the honest answer.
    const SharedPage& page(unsigned number) const { return pages_[number]; }

    // A broadcast of this card's that asks (by ARP) who has the gateway's address: 60 bytes in page 0.
    abi::TxRequest question();
    // Room of every kind; not shown before publish().
    void put(const abi::TxRequest& request);
    void put(const abi::NetExtraInfo& extra);
    void put_buffer(abi::RawGrantRef gref);
    void put(const abi::NetControlRequest& request);
    void publish();
    uint32_t tx_produced() const { return tx_produced_; }
    uint32_t control_produced() const { return control_produced_; }

    // Wait for an answer to everything that was put; add them up.
    void wait_sent(Answers& answers);
    void wait_received(Answers& answers, uint32_t wanted);
    void wait_control(Answers& answers);
    void exchange(Answers& answers) {
        publish();
        wait_sent(answers);
    }
    void ask(const abi::TxRequest& request, Answers& answers) {
        put(request);
        exchange(answers);
    }
    // Until somebody takes its packets: a NAT's program, which has just been started, loses them at first.
    // Its answers go into the buffers that come next.
    void wait_for_network();
    // A question that is sent, and answered into an honest buffer.
    bool honest_question();
    void tell(const Answers& answers);

private:
    bool read_mac();
    bool wait_index(const uint32_t& index, uint32_t& asked_at, uint32_t wanted);

    uint32_t number_;
    guest::XenbusDevice bus_;
    SharedPage tx_, rx_, control_;
    std::array<SharedPage, kPages> pages_;
    guest::RawPort port_ = 0, control_port_ = 0;
    std::array<uint8_t, 6> mac_{};
    uint32_t tx_produced_ = 0, tx_consumed_ = 0;
    uint32_t rx_produced_ = 0, rx_consumed_ = 0;
    uint32_t control_produced_ = 0, control_consumed_ = 0;
};

// The card behind the NAT.
RawNet& card();

}  // namespace torii::cheat
