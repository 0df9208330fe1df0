// As much as one virtual CPU can do, until a line is typed: signals, requests, frames, connections, nodes. It
// costs this domain's devices their time, and others nothing but their share of the machine.

#include <torii/guest/console.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/start.h>
#include <torii/ring/shared_memory.h>

#include "raw_block.h"
#include "raw_net.h"

namespace torii::cheat {

namespace {

using abi::BlockOperation;
using abi::BlockRequest;
using abi::XenbusState;

constexpr unsigned kIndirectSegments = 256;
constexpr unsigned kTurnsBetweenLooks = 64;

// Calls `turn` until it is told to stop; returns how often.
template <typename Turn>
uint64_t flood(Turn turn) {
    uint64_t turns = 0;
    while (turns % kTurnsBetweenLooks != 0 || !told_to_stop()) {
        turn();
        ++turns;
    }
    return turns;
}

template <typename Turn>
void flood_disk(Turn turn) {
    if (!disk().connect()) return told_problem("the disk was not served");
    guest::print("flooding\n");
    const uint64_t turns = flood(turn);
    guest::print("{} turns\n", turns);
    Answers answers;
    disk().catch_up(answers);
    disk().tell({});
    disk().close();
}

template <typename Turn>
void flood_card(RawNet& card, Turn turn) {
    if (!card.connect()) return told_problem("the card was not served");
    guest::print("flooding\n");
    const uint64_t turns = flood(turn);
    guest::print("{} turns\n", turns);
    card.close();
    if (!cheat::card().connect()) return told_problem("the card is not served after it");
    cheat::card().tell({});
    cheat::card().close();
}

RawNet& switched_card() {
    static RawNet card(1);
    return card;
}

// Computes, and asks nothing of anybody: what the others are held against.
void nothing() {
    guest::print("flooding\n");
    const uint64_t turns = flood([] {});
    guest::print("{} turns\n", turns);
    if (!disk().connect()) return told_problem("the disk was not served");
    disk().tell({});
    disk().close();
}

void events() {
    flood_disk([] { guest::send_event(disk().port()); });
}

// Keeps the ring full of whatever `make` makes, and looks at no answer.
template <typename Make>
void keep_full(Make make) {
    const uint32_t answered = ring::load_peer_index(disk().header().rsp_prod);
    while (disk().produced() - answered < RawBlock::kEntries)
        disk().put(make(disk().produced()));
    disk().publish();
}

void requests() {
    flood_disk([] {
        keep_full([](uint32_t number) {
            BlockRequest request =
                disk().honest(number % 3 == 0 ? BlockOperation::kWrite : BlockOperation::kRead, number % 8);
            if (number % 5 == 0) request.operation = 200;
            if (number % 7 == 0) request.seg[0].gref = bad_grants().never;
            return request;
        });
    });
}

// A mebibyte each, through descriptors that all name the same page.
void large_reads() {
    SharedPage descriptors = share();
    flood_disk([&] {
        auto* const segments = reinterpret_cast<abi::BlockSegment*>(descriptors.page);
        for (unsigned i = 0; i < kIndirectSegments; ++i)
            segments[i] = {disk().page(1).gref, 0, 7, 0};
        keep_full([&](uint32_t) {
            abi::BlockIndirectRequest request{};
            request.operation = static_cast<uint8_t>(BlockOperation::kIndirect);
            request.nr_segments = kIndirectSegments;
            request.indirect_grefs[0] = descriptors.gref;
            BlockRequest result{};
            __builtin_memcpy(&result, &request, sizeof(request));
            return result;
        });
    });
    end(descriptors);
}

void flushes() {
    flood_disk([] {
        keep_full([](uint32_t number) {
            BlockRequest request = disk().honest(BlockOperation::kWriteBarrier, number % 8);
            if (number % 2 == 0) request.operation = static_cast<uint8_t>(BlockOperation::kFlushDiskcache);
            request.nr_segments = number % 2;
            return request;
        });
    });
}

// Frames, good or with a grant that is none, as fast as they are taken; never a buffer to receive into.
void frames(RawNet& card, bool good) {
    flood_card(card, [&card, good] {
        const uint32_t answered = ring::load_peer_index(card.tx().header().rsp_prod);
        abi::TxRequest request = card.question();
        if (!good) request.gref = bad_grants().never;
        while (card.tx_produced() - answered < RawNet::kEntries)
            card.put(request);
        card.publish();
    });
}

void control() {
    flood_card(card(), [] {
        const uint32_t answered = ring::load_peer_index(card().control().header().rsp_prod);
        const uint32_t room = card().control().count();
        while (card().control_produced() - answered < room) {
            card().put(
                abi::NetControlRequest{.id = 0,
                                       .type = static_cast<uint16_t>(abi::NetControlType::kSetHashAlgorithm),
                                       .data = {card().control_produced() % 2, 0, 0}});
        }
        card().publish();
    });
}

// Breaks its ring, and connects again.
void breaks() {
    if (!disk().connect()) return told_problem("the disk was not served");
    guest::print("flooding\n");
    uint64_t turns = 0;
    for (bool stop = false; !stop; ++turns) {
        ring::store_own_index(disk().header().req_prod, 0x8000'0000);
        guest::send_event(disk().port());
        disk().bus().wait_for_backend({XenbusState::kClosing, XenbusState::kClosed}, 10'000'000'000);
        disk().close();
        stop = told_to_stop();
        if (!disk().connect()) return told_problem("the disk is not served after it");
    }
    guest::print("{} turns\n", turns);
    disk().tell({});
    disk().close();
}

void states() {
    flood_disk([] { disk().bus().write("state", "4"); });
}

constexpr Way kWays[] = {
    {"flood-nothing", nothing},
    {"flood-events", events},
    {"flood-requests", requests},
    {"flood-reads", large_reads},
    {"flood-flushes", flushes},
    {"flood-frames", [] { frames(card(), true); }},
    {"flood-bad-frames", [] { frames(card(), false); }},
    {"flood-broadcasts", [] { frames(switched_card(), true); }},
    {"flood-control", control},
    {"flood-breaks", breaks},
    {"flood-states", states},
};

}  // namespace

std::span<const Way> floods() {
    return kWays;
}

}  // namespace torii::cheat
