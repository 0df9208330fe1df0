#include "drivers/net_card.h"

#include <torii/guest/grants.h>
#include <torii/guest/xenstore.h>

namespace torii::guest {

namespace {

using State = abi::XenbusState;

constexpr uint64_t kCloseTimeoutNs = 60'000'000'000;

int hex_digit(char character) {
    if (character >= '0' && character <= '9') return character - '0';
    if (character >= 'a' && character <= 'f') return character - 'a' + 10;
    if (character >= 'A' && character <= 'F') return character - 'A' + 10;
    return -1;
}

}  // namespace

bool NetCard::open(uint32_t number, uint64_t timeout_ns) {
    if (!xenstore_available() || !bus_.find("vif", number) || !set_up_grants() || !bus_.reset(timeout_ns))
        return false;
    StoreText path;
    path.add("device/vif/").add(number).add("/mac");
    const StoreReply mac = store_read(path.view());
    if (!mac.ok() || mac.payload.size() != 17) return false;
    for (size_t index = 0; index < mac_.size(); ++index) {
        const int high = hex_digit(mac.payload[index * 3]);
        const int low = hex_digit(mac.payload[index * 3 + 1]);
        if (high < 0 || low < 0) return false;
        mac_[index] = static_cast<uint8_t>(high * 16 + low);
    }
    NetFrontHost& host = *this;
    front_.emplace(host, NetFront::Pages{.tx_ring = memory_.tx_ring,
                                         .rx_ring = memory_.rx_ring,
                                         .tx_buffers = memory_.tx_buffers,
                                         .rx_buffers = memory_.rx_buffers,
                                         .frame = memory_.frame});
    if (connect(timeout_ns)) return true;
    close();
    return false;
}

bool NetCard::connect(uint64_t timeout_ns) {
    const int64_t port = allocate_unbound(abi::kDomIdSelf, bus_.backend_domain());
    if (port < 0) return false;
    port_ = static_cast<RawPort>(port);
    handle_event(
        port_, [](RawPort, void* card) { static_cast<NetCard*>(card)->signalled_ = true; }, this);
    front_->start();
    const bool told =
        bus_.wait_for_backend({State::kInitWait}, timeout_ns) &&
        bus_.write("tx-ring-ref", uint64_t{front_->tx_ring_ref()}) &&
        bus_.write("rx-ring-ref", uint64_t{front_->rx_ring_ref()}) &&
        bus_.write("event-channel", uint64_t{port_}) && bus_.write("request-rx-copy", uint64_t{1}) &&
        bus_.write("feature-rx-notify", uint64_t{1}) && bus_.write("feature-sg", uint64_t{1}) &&
        bus_.write("feature-gso-tcpv4", uint64_t{1}) && bus_.write("feature-gso-tcpv6", uint64_t{1}) &&
        bus_.write("feature-ipv6-csum-offload", uint64_t{1}) && bus_.set_state(State::kConnected);
    return told && bus_.wait_for_backend({State::kConnected, State::kClosing, State::kClosed}, timeout_ns) &&
           bus_.backend_state() == State::kConnected;
}

bool NetCard::close() {
    bus_.set_state(State::kClosing);
    bus_.wait_for_backend({State::kClosing, State::kClosed, State::kInitWait}, kCloseTimeoutNs);
    bus_.set_state(State::kClosed);
    bus_.wait_for_backend({State::kClosed, State::kUnknown}, kCloseTimeoutNs);
    if (port_ != 0) {
        handle_event(port_, nullptr);
        close_port(port_);
        port_ = 0;
    }
    const bool all = !front_ || front_->stop() == 0;
    front_.reset();
    return all;
}

bool NetCard::poll(uint64_t timeout_ns) {
    if (!front_) return false;
    if (timeout_ns != 0)
        wait_until([](void* card) { return static_cast<NetCard*>(card)->signalled_; }, this, timeout_ns);
    signalled_ = false;
    front_->poll();
    return !front_->broken();
}

abi::RawGrantRef NetCard::grant(void* page, bool read_only) {
    const abi::RawGrantRef gref = allocate_grant_ref();
    grant_access(gref, bus_.backend_domain(), mfn_of(page), read_only);
    return gref;
}

bool NetCard::end_grant(abi::RawGrantRef gref) {
    // One that was never given has no entry to end.
    if (gref == 0) return true;
    if (!end_access(gref)) return false;
    free_grant_ref(gref);
    return true;
}

}  // namespace torii::guest
