// What costs a card's connection: packets without an end, indices that cannot be, nodes that make no sense,
// states that jump.

#include <torii/ring/shared_memory.h>

#include "raw_net.h"

namespace torii::cheat {

namespace {

using abi::NetExtraInfo;
using abi::NetExtraType;
using abi::TxRequest;
using abi::XenbusState;

constexpr unsigned kReopenings = 60;

void break_card(void (*way)(RawNet& card)) {
    if (!card().connect()) return told_problem("the card was not served");
    way(card());
    card().tell_closed();
    card().close();
}

void connect_by(std::string_view name, std::string_view value) {
    const Node node[] = {{name, value}};
    if (card().connect(node)) {
        told_problem("the card is served");
    } else {
        card().tell_closed();
    }
    card().close();
}

void endless_chain(RawNet& card) {
    TxRequest request = card.question();
    request.flags = abi::kTxMoreData;
    for (uint32_t i = 0; i < RawNet::kEntries; ++i)
        card.put(request);
    card.publish();
}

void missing_fragment(RawNet& card) {
    TxRequest request = card.question();
    request.flags = abi::kTxMoreData;
    card.put(request);
    card.publish();
}

void missing_extra(RawNet& card) {
    TxRequest request = card.question();
    request.flags = abi::kTxExtraInfo;
    card.put(request);
    card.publish();
}

void put_extras(RawNet& card, NetExtraType type, unsigned count) {
    TxRequest request = card.question();
    request.flags = abi::kTxExtraInfo;
    card.put(request);
    for (unsigned i = 0; i < count; ++i)
        card.put(NetExtraInfo{.type = type, .flags = abi::kNetExtraMore, .u = {}});
    card.publish();
}

void jump(RawNet& card) {
    ring::store_own_index(card.tx().header().req_prod, RawNet::kEntries + 1);
    guest::send_event(card.port());
}

void go_back(RawNet& card) {
    Answers answers;
    for (unsigned i = 0; i < 4; ++i)
        card.put(card.question());
    card.exchange(answers);
    ring::store_own_index(card.tx().header().req_prod, card.tx_produced() - 2);
    guest::send_event(card.port());
}

// The receive ring is looked at when there is something to receive.
void jump_receive(RawNet& card) {
    Answers answers;
    card.put(card.question());
    card.publish();
    ring::store_own_index(card.rx().header().req_prod, 0x8000'0000);
    card.wait_sent(answers);
}

void jump_control(RawNet& card) {
    ring::store_own_index(card.control().header().req_prod, 0x8000'0000);
    guest::send_event(card.control_port());
}

void states() {
    RawNet& card = cheat::card();
    if (!card.connect()) return told_problem("the card was not served");
    for (const std::string_view state :
         {"99", "-1", "4.0", "", "four", "18446744073709551620", "7", "8", "2"})
        card.bus().write("state", state);
    card.bus().remove("state");
    card.bus().wait_for_backend({XenbusState::kClosed}, 10'000'000'000);
    card.close();
    if (!card.connect()) return told_problem("the card is not served after it");
    card.tell({});
    card.close();
}

void reopen() {
    RawNet& card = cheat::card();
    if (!card.connect()) return told_problem("the card was not served");
    for (unsigned round = 0; round < kReopenings; ++round) {
        for (const XenbusState state : {XenbusState::kClosing, XenbusState::kClosed,
                                        XenbusState::kInitialising, XenbusState::kConnected})
            card.bus().set_state(state);
    }
    card.close();
    if (!card.connect()) return told_problem("the card is not served after it");
    card.tell({});
    card.close();
}

// Both rings in one page, whose entries are then requests of both kinds. It can stay that way.
void one_ring() {
    RawNet& card = cheat::card();
    if (!card.connect()) return told_problem("the card was not served");
    const Decimal gref(card.tx_gref());
    card.bus().set_state(XenbusState::kClosed);
    card.bus().wait_for_backend({XenbusState::kClosed}, 10'000'000'000);
    card.bus().set_state(XenbusState::kInitialising);
    card.bus().wait_for_backend({XenbusState::kInitWait}, 10'000'000'000);
    card.bus().write("rx-ring-ref", gref.view());
    card.bus().set_state(XenbusState::kConnected);
    card.bus().wait_for_backend({XenbusState::kConnected}, 10'000'000'000);
    for (unsigned i = 0; i < 200; ++i)
        card.put(card.question());
    card.publish();
    card.bus().wait_for_backend({XenbusState::kClosing}, 500'000'000);
    card.close();
    if (!card.connect()) return told_problem("the card is not served after it");
    card.tell({});
    card.close();
}

constexpr Way kWays[] = {
    {"net-chain", [] { break_card(endless_chain); }},
    {"net-missing-fragment", [] { break_card(missing_fragment); }},
    {"net-missing-extra", [] { break_card(missing_extra); }},
    {"net-extras", [] { break_card([](RawNet& card) { put_extras(card, NetExtraType::kGso, 200); }); }},
    {"net-unknown-extra",
     [] { break_card([](RawNet& card) { put_extras(card, static_cast<NetExtraType>(77), 1); }); }},
    {"net-jump", [] { break_card(jump); }},
    {"net-back", [] { break_card(go_back); }},
    {"net-jump-receive", [] { break_card(jump_receive); }},
    {"net-jump-control", [] { break_card(jump_control); }},
    {"net-ring-huge", [] { connect_by("tx-ring-ref", "4294967295"); }},
    {"net-ring-number", [] { connect_by("rx-ring-ref", "99999999999999999999"); }},
    {"net-port-huge", [] { connect_by("event-channel", "4294967295"); }},
    {"net-port-used", [] { connect_by("event-channel", "1"); }},
    {"net-control-huge", [] { connect_by("ctrl-ring-ref", "4294967295"); }},
    {"net-queues", [] { connect_by("multi-queue-num-queues", "4294967295"); }},
    {"net-no-queue", [] { connect_by("multi-queue-num-queues", "0"); }},
    {"net-no-copy", [] { connect_by("request-rx-copy", "\x01\xFF"); }},
    {"net-one-ring", one_ring},
    {"net-states", states},
    {"net-reopen", reopen},
};

}  // namespace

std::span<const Way> net_connections() {
    return kWays;
}

}  // namespace torii::cheat
