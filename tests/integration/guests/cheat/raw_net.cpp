#include "raw_net.h"

#include <torii/guest/hypercall.h>
#include <torii/guest/start.h>
#include <torii/guest/xenstore.h>
#include <torii/ring/shared_memory.h>

namespace torii::cheat {

using abi::XenbusState;

namespace {

constexpr uint64_t kTimeoutNs = 30'000'000'000;
constexpr uint16_t kQuestionSize = 60;
// Who has 10.0.2.2, asks 10.0.2.15 (RFC 826), without the addresses of hardware.
constexpr uint8_t kQuestion[42] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0,  0, 8, 6,
                                   0,    1,    8,    0,    6,    4,    0, 1, 0, 0, 0,  0, 0, 0,
                                   10,   0,    2,    15,   0,    0,    0, 0, 0, 0, 10, 0, 2, 2};
constexpr size_t kSender = 6, kArpSender = 22;

struct Wanted {
    const uint32_t* index;
    uint32_t value;
};

int hex_digit(char character) {
    return character <= '9' ? character - '0' : (character | 0x20) - 'a' + 10;
}

bool is_answer(const uint8_t* frame) {
    return frame[12] == 8 && frame[13] == 6 && frame[21] == 2;
}

void count(int16_t status, Answers& answers) {
    switch (status) {
        case static_cast<int16_t>(abi::NetResponse::kOkay):
            ++answers.okay;
            break;
        case static_cast<int16_t>(abi::NetResponse::kError):
            ++answers.errors;
            break;
        case static_cast<int16_t>(abi::NetResponse::kDropped):
            ++answers.unsupported;
            break;
        case static_cast<int16_t>(abi::NetResponse::kNull):
            break;
        default:
            ++answers.strange;
    }
}

}  // namespace

RawNet& card() {
    static RawNet card(0);
    return card;
}

bool RawNet::read_mac() {
    guest::StoreText path;
    path.add("device/vif/").add(uint64_t{number_}).add("/mac");
    const guest::StoreReply mac = guest::store_read(path.view());
    if (!mac.ok() || mac.payload.size() != 17) return false;
    for (size_t i = 0; i < mac_.size(); ++i)
        mac_[i] =
            static_cast<uint8_t>(hex_digit(mac.payload[i * 3]) * 16 + hex_digit(mac.payload[i * 3 + 1]));
    return true;
}

bool RawNet::connect(std::span<const Node> instead) {
    if (!bus_.find("vif", number_) || !read_mac() || !bus_.reset(kTimeoutNs)) {
        told_problem("the card's back end does not offer it");
        return false;
    }
    for (const std::string_view name : {"multi-queue-num-queues", "event-channel-tx", "event-channel-rx",
                                        "feature-sg", "feature-gso-tcpv4", "request-multicast-control"}) {
        bus_.remove(name);
    }
    for (SharedPage* ring : {&tx_, &rx_, &control_}) {
        *ring = share();
        __builtin_memset(ring->page, 0, abi::kPageSize);
    }
    for (abi::SharedRingHeader* header : {&tx().header(), &rx().header(), &control().header()})
        header->req_event = header->rsp_event = 1;
    for (SharedPage& page : pages_)
        page = share();
    for (guest::RawPort* port : {&port_, &control_port_}) {
        *port = static_cast<guest::RawPort>(guest::allocate_unbound(abi::kDomIdSelf, bus_.backend_domain()));
        guest::handle_event(*port, [](guest::RawPort, void*) {});
    }
    tx_produced_ = tx_consumed_ = rx_produced_ = rx_consumed_ = control_produced_ = control_consumed_ = 0;
    const Decimal tx(tx_.gref), rx(rx_.gref), control(control_.gref), port(port_),
        control_port(control_port_);
    const Node nodes[] = {{"tx-ring-ref", tx.view()},
                          {"rx-ring-ref", rx.view()},
                          {"event-channel", port.view()},
                          {"ctrl-ring-ref", control.view()},
                          {"event-channel-ctrl", control_port.view()},
                          {"request-rx-copy", "1"},
                          {"feature-rx-notify", "1"},
                          {"feature-sg", "1"}};
    write_nodes(bus_, nodes, instead);
    bus_.set_state(XenbusState::kConnected);
    bus_.wait_for_backend({XenbusState::kConnected, XenbusState::kClosing, XenbusState::kClosed}, kTimeoutNs);
    return served();
}

void RawNet::tell_closed() {
    if (bus_.wait_for_backend({XenbusState::kClosing, XenbusState::kClosed}, kTimeoutNs)) {
        told_closed(bus_.backend_error());
    } else {
        told_problem("the card is still served");
    }
}

void RawNet::close() {
    bus_.set_state(XenbusState::kClosing);
    bus_.wait_for_backend({XenbusState::kClosing, XenbusState::kClosed, XenbusState::kInitWait}, kTimeoutNs);
    bus_.set_state(XenbusState::kClosed);
    bus_.wait_for_backend({XenbusState::kClosed}, kTimeoutNs);
    for (const guest::RawPort port : {port_, control_port_}) {
        guest::handle_event(port, nullptr);
        guest::close_port(port);
    }
    for (SharedPage* ring : {&tx_, &rx_, &control_})
        end(*ring);
    for (SharedPage& page : pages_)
        end(page);
}

abi::TxRequest RawNet::question() {
    uint8_t* const frame = pages_[0].bytes();
    __builtin_memcpy(frame, kQuestion, sizeof(kQuestion));
    __builtin_memcpy(frame + kSender, mac_.data(), mac_.size());
    __builtin_memcpy(frame + kArpSender, mac_.data(), mac_.size());
    return {.gref = pages_[0].gref, .offset = 0, .flags = 0, .id = 0, .size = kQuestionSize};
}

void RawNet::put(const abi::TxRequest& request) {
    __builtin_memcpy(tx().entry(tx_produced_++), &request, sizeof(request));
}
void RawNet::put(const abi::NetExtraInfo& extra) {
    __builtin_memcpy(tx().entry(tx_produced_++), &extra, sizeof(extra));
}
void RawNet::put_buffer(abi::RawGrantRef gref) {
    const abi::RxRequest request{
        .id = static_cast<uint16_t>(rx_produced_ % kEntries), .pad = 0, .gref = gref};
    __builtin_memcpy(rx().entry(rx_produced_++), &request, sizeof(request));
}
void RawNet::put(const abi::NetControlRequest& request) {
    __builtin_memcpy(control().entry(control_produced_++), &request, sizeof(request));
}

void RawNet::publish() {
    ring::store_own_index(rx().header().req_prod, rx_produced_);
    ring::store_own_index(tx().header().req_prod, tx_produced_);
    ring::store_own_index(control().header().req_prod, control_produced_);
    guest::send_event(port_);
    guest::send_event(control_port_);
}

bool RawNet::wait_index(const uint32_t& index, uint32_t& asked_at, uint32_t wanted) {
    ring::store_own_index(asked_at, wanted);
    Wanted wait{&index, wanted};
    return guest::wait_until(
        [](void* argument) {
            const auto* const wanted = static_cast<const Wanted*>(argument);
            return static_cast<int32_t>(ring::load_peer_index(*wanted->index) - wanted->value) >= 0;
        },
        &wait, kTimeoutNs);
}

void RawNet::wait_sent(Answers& answers) {
    abi::SharedRingHeader& header = tx().header();
    wait_index(header.rsp_prod, header.rsp_event, tx_produced_);
    const uint32_t there = ring::load_peer_index(header.rsp_prod);
    for (; tx_consumed_ != tx_produced_ && tx_consumed_ != there; ++tx_consumed_)
        count(reinterpret_cast<const abi::TxResponse*>(tx().entry(tx_consumed_))->status, answers);
    answers.missing += tx_produced_ - tx_consumed_;
    tx_consumed_ = tx_produced_;
}

void RawNet::wait_received(Answers& answers, uint32_t wanted) {
    abi::SharedRingHeader& header = rx().header();
    const bool came = wait_index(header.rsp_prod, header.rsp_event, rx_consumed_ + wanted);
    const uint32_t there = ring::load_peer_index(header.rsp_prod);
    if (!came) answers.missing += rx_consumed_ + wanted - there;
    for (; rx_consumed_ != rx_produced_ && rx_consumed_ != there; ++rx_consumed_) {
        const auto& response = *reinterpret_cast<const abi::RxResponse*>(rx().entry(rx_consumed_));
        count(response.status > 0 ? int16_t{0} : response.status, answers);
    }
}

void RawNet::wait_control(Answers& answers) {
    abi::SharedRingHeader& header = control().header();
    wait_index(header.rsp_prod, header.rsp_event, control_produced_);
    const uint32_t there = ring::load_peer_index(header.rsp_prod);
    for (; control_consumed_ != control_produced_ && control_consumed_ != there; ++control_consumed_) {
        const auto& response =
            *reinterpret_cast<const abi::NetControlResponse*>(control().entry(control_consumed_));
        const auto status = static_cast<abi::NetControlStatus>(response.status);
        if (status == abi::NetControlStatus::kSuccess) ++answers.okay;
        if (status == abi::NetControlStatus::kNotSupported) ++answers.unsupported;
        if (status == abi::NetControlStatus::kInvalidParameter ||
            status == abi::NetControlStatus::kBufferOverflow)
            ++answers.errors;
    }
    answers.missing += control_produced_ - control_consumed_;
    control_consumed_ = control_produced_;
}

void RawNet::wait_for_network() {
    constexpr unsigned kTries = 300;
    constexpr uint64_t kPauseNs = 100'000'000;
    for (unsigned i = 0; i < kTries; ++i) {
        Answers answers;
        ask(question(), answers);
        if (answers.okay != 0) return;
        guest::wait_until([](void*) { return false; }, nullptr, kPauseNs);
    }
}

bool RawNet::honest_question() {
    Answers answers;
    for (unsigned number = 1; number < kPages; ++number) {
        fill(pages_[number]);
        put_buffer(pages_[number].gref);
    }
    put(question());
    publish();
    wait_sent(answers);
    // Something else may come first.
    const uint32_t first = rx_produced_ - (kPages - 1);
    for (uint32_t slot = first; slot != rx_produced_ && answers.missing == 0; ++slot) {
        if (static_cast<int32_t>(slot - rx_consumed_) >= 0) wait_received(answers, slot + 1 - rx_consumed_);
        const auto& response = *reinterpret_cast<const abi::RxResponse*>(rx().entry(slot));
        const SharedPage& page = pages_[1 + slot - first];
        if (!is_answer(page.bytes())) continue;
        return answers.okay != 0 && response.status > 0 &&
               untouched(page, static_cast<size_t>(response.status));
    }
    return false;
}

void RawNet::tell(const Answers& answers) {
    if (!untouched(bad_grants().read_only) || !untouched(bad_grants().of_another))
        return told_problem("a page that dom0 must not write to was written to");
    told(answers, honest_question());
}

}  // namespace torii::cheat
