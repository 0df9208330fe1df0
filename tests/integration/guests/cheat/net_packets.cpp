// Packets and control requests that make no sense. Each costs itself an error, and no more.

#include "raw_net.h"

namespace torii::cheat {

namespace {

using abi::NetExtraInfo;
using abi::NetExtraType;
using abi::TxRequest;

constexpr uint16_t kSizes[] = {0, 1, 13};

void with_card(void (*way)(RawNet& card, Answers& answers)) {
    if (!card().connect()) return card().tell_closed();
    card().wait_for_network();
    Answers answers;
    way(card(), answers);
    card().tell(answers);
    card().close();
}

void short_frames(RawNet& card, Answers& answers) {
    for (const uint16_t size : kSizes) {
        TxRequest request = card.question();
        request.size = size;
        card.ask(request, answers);
    }
}

void beyond_page(RawNet& card, Answers& answers) {
    constexpr uint16_t kPlaces[][2] = {{4095, 60},       {4096, 60}, {0xFFFF, 60},
                                       {0xFFFF, 0xFFFF}, {0, 4097},  {1, 4096}};
    for (const auto& [offset, size] : kPlaces) {
        TxRequest request = card.question();
        request.offset = offset;
        request.size = size;
        card.ask(request, answers);
    }
}

// A packet of `count` fragments, each of `size` bytes; it says of itself that it has `total`.
void put_fragments(RawNet& card, unsigned count, uint16_t size, uint16_t total) {
    TxRequest request = card.question();
    request.size = total;
    for (unsigned i = 0; i < count; ++i) {
        request.flags = i + 1 < count ? abi::kTxMoreData : uint16_t{0};
        card.put(request);
        request.size = size;
    }
}

void fragments(RawNet& card, Answers& answers) {
    put_fragments(card, 3, 60, 100);    // more than the packet has
    put_fragments(card, 2, 60, 60);     // nothing left for the first
    put_fragments(card, 19, 60, 1140);  // one more than may be
    card.exchange(answers);
}

void grants(RawNet& card, Answers& answers) {
    BadGrants& bad = bad_grants();
    for (const abi::RawGrantRef gref : {bad.never, bad.beyond, bad.of_another.gref}) {
        TxRequest request = card.question();
        request.gref = gref;
        card.ask(request, answers);
        // As the second fragment of one that is good.
        request = card.question();
        request.size = 120;
        request.flags = abi::kTxMoreData;
        card.put(request);
        request.gref = gref;
        request.size = 60;
        request.flags = 0;
        card.ask(request, answers);
    }
}

void put_gso(RawNet& card, uint16_t size, uint8_t type) {
    TxRequest request = card.question();
    request.flags = abi::kTxExtraInfo | abi::kTxChecksumBlank;
    card.put(request);
    NetExtraInfo extra{.type = NetExtraType::kGso, .flags = 0, .u = {}};
    extra.u.gso = {.size = size, .type = static_cast<abi::NetGsoType>(type), .pad = 0, .features = 0};
    card.put(extra);
}

void segments(RawNet& card, Answers& answers) {
    put_gso(card, 0, 1);
    put_gso(card, 1448, 9);
    put_gso(card, 1448, 255);
    // Of a frame that is no TCP.
    put_gso(card, 1448, 1);
    put_gso(card, 1, 2);
    card.exchange(answers);
}

// An IPv4 header of `words`, of a packet that says it has `length` bytes and is `protocol`.
void make_ipv4(uint8_t* frame, uint8_t words, uint16_t length, uint8_t protocol) {
    frame[12] = 8;
    frame[13] = 0;
    uint8_t* const ip = frame + 14;
    __builtin_memset(ip, 0, 46);
    ip[0] = static_cast<uint8_t>(0x40 | words);
    ip[2] = static_cast<uint8_t>(length >> 8);
    ip[3] = static_cast<uint8_t>(length);
    ip[8] = 64;
    ip[9] = protocol;
}

// Checksums that are to be filled in where there is none, or beyond the frame.
void checksums(RawNet& card, Answers& answers) {
    struct Header {
        uint8_t words;
        uint16_t length;
        uint8_t protocol;
        uint16_t size;
    };
    constexpr Header kHeaders[] = {{15, 46, 6, 60}, {5, 0xFFFF, 6, 60}, {5, 20, 17, 34}, {5, 24, 6, 38},
                                   {0, 46, 6, 60},  {5, 46, 132, 60},   {5, 46, 6, 14},  {5, 46, 6, 20}};
    for (const auto& [words, length, protocol, size] : kHeaders) {
        TxRequest request = card.question();
        make_ipv4(card.page(0).bytes(), words, length, protocol);
        request.size = size;
        request.flags = abi::kTxChecksumBlank;
        card.ask(request, answers);
    }
}

// Buffers that nothing can be written to, the same one twice, and a good one.
void buffers(RawNet& card, Answers& answers) {
    BadGrants& bad = bad_grants();
    for (const abi::RawGrantRef gref : {bad.never, bad.beyond, bad.of_another.gref, bad.read_only.gref,
                                        card.page(2).gref, card.page(2).gref}) {
        card.put_buffer(gref);
    }
    for (unsigned i = 0; i < 6; ++i)
        card.put(card.question());
    card.publish();
    Answers sent;
    card.wait_sent(sent);
    card.wait_received(answers, 6);
    if (sent.okay != 6) answers.strange += 6 - sent.okay;
}

void control(RawNet& card, Answers& answers) {
    using abi::NetControlType;
    const uint32_t good = card.page(3).gref;
    const struct {
        unsigned type;
        uint32_t data[3];
    } requests[] = {{0, {}},
                    {99, {}},
                    {0xFFFF, {1, 2, 3}},
                    {static_cast<unsigned>(NetControlType::kSetHashAlgorithm), {7}},
                    {static_cast<unsigned>(NetControlType::kSetHashFlags), {0xFFFF'FFFF}},
                    {static_cast<unsigned>(NetControlType::kSetHashKey), {good, 0xFFFF'FFFF}},
                    {static_cast<unsigned>(NetControlType::kSetHashKey), {bad_grants().never, 40}},
                    {static_cast<unsigned>(NetControlType::kSetHashKey), {bad_grants().of_another.gref, 40}},
                    {static_cast<unsigned>(NetControlType::kSetHashMappingSize), {0xFFFF'FFFF}},
                    {static_cast<unsigned>(NetControlType::kSetHashMapping), {good, 128, 0xFFFF'FFFF}},
                    {static_cast<unsigned>(NetControlType::kSetHashMapping), {good, 0x4000'0001, 0}},
                    {static_cast<unsigned>(NetControlType::kAddGrefMapping), {good, 5, 0}}};
    for (const auto& [type, data] : requests) {
        card.put(abi::NetControlRequest{
            .id = 0, .type = static_cast<uint16_t>(type), .data = {data[0], data[1], data[2]}});
        card.publish();
        card.wait_control(answers);
    }
}

constexpr Way kWays[] = {
    {"net-short", [] { with_card(short_frames); }},  {"net-page", [] { with_card(beyond_page); }},
    {"net-fragments", [] { with_card(fragments); }}, {"net-grants", [] { with_card(grants); }},
    {"net-segments", [] { with_card(segments); }},   {"net-checksums", [] { with_card(checksums); }},
    {"net-buffers", [] { with_card(buffers); }},     {"net-control", [] { with_card(control); }},
};

}  // namespace

std::span<const Way> net_packets() {
    return kWays;
}

}  // namespace torii::cheat
