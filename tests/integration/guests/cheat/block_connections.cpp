// Indices that cannot be, nodes of xenstore that make no sense, states that jump. They cost the device until
// the driver connects again.

#include <torii/ring/shared_memory.h>

#include "raw_block.h"

namespace torii::cheat {

namespace {

using abi::BlockOperation;
using abi::XenbusState;

constexpr unsigned kReopenings = 60;

// Connects honestly, does something to the ring, and tells how that was closed.
void break_ring(void (*way)(RawBlock& disk)) {
    if (!disk().connect()) return told_problem("the disk was not served");
    way(disk());
    disk().tell_closed();
    disk().close();
}

// The nodes are all that is wrong.
void connect_by(std::span<const Node> instead) {
    if (disk().connect(instead)) {
        told_problem("the disk is served");
    } else {
        disk().tell_closed();
    }
    disk().close();
}
void connect_by(std::string_view name, std::string_view value) {
    const Node node[] = {{name, value}};
    connect_by(node);
}

void show_index(RawBlock& disk, uint32_t index) {
    ring::store_own_index(disk.header().req_prod, index);
    guest::send_event(disk.port());
}

void jump(RawBlock& disk) {
    show_index(disk, RawBlock::kEntries + 1);
}
void jump_far(RawBlock& disk) {
    show_index(disk, 0x8000'0000);
}
void go_back(RawBlock& disk) {
    Answers answers;
    for (unsigned page = 1; page < 5; ++page)
        disk.put(disk.honest(BlockOperation::kRead, page));
    disk.exchange(answers);
    show_index(disk, disk.produced() - 2);
}

// Two queues, whose ring and port are the same.
void twins() {
    RawBlock& disk = cheat::disk();
    if (!disk.connect()) return told_problem("the disk was not served");
    const Decimal gref(disk.ring_gref());
    const Decimal port(disk.port());
    disk.bus().set_state(XenbusState::kClosing);
    disk.bus().set_state(XenbusState::kClosed);
    disk.bus().wait_for_backend({XenbusState::kClosed}, 10'000'000'000);
    disk.bus().set_state(XenbusState::kInitialising);
    disk.bus().wait_for_backend({XenbusState::kInitWait}, 10'000'000'000);
    const Node nodes[] = {{"multi-queue-num-queues", "2"},
                          {"queue-0/ring-ref", gref.view()},
                          {"queue-0/event-channel", port.view()},
                          {"queue-1/ring-ref", gref.view()},
                          {"queue-1/event-channel", port.view()}};
    write_nodes(disk.bus(), nodes, {});
    disk.bus().set_state(XenbusState::kInitialised);
    disk.tell_closed();
    disk.close();
}

void states() {
    RawBlock& disk = cheat::disk();
    if (!disk.connect()) return told_problem("the disk was not served");
    for (const std::string_view state :
         {"99", "-1", "4.0", "", "four", "0004", "18446744073709551620", "7", "8", "2"})
        disk.bus().write("state", state);
    // Gone with the node itself: the back end lets go.
    disk.bus().remove("state");
    disk.bus().wait_for_backend({XenbusState::kClosed}, 10'000'000'000);
    disk.close();
    if (!disk.connect()) return told_problem("the disk is not served after it");
    disk.tell({});
    disk.close();
}

// Through all states without waiting for the back end, with and without rings that it could take.
void reopen() {
    RawBlock& disk = cheat::disk();
    if (!disk.connect()) return told_problem("the disk was not served");
    for (unsigned round = 0; round < kReopenings; ++round) {
        for (const XenbusState state :
             {XenbusState::kClosing, XenbusState::kClosed, XenbusState::kInitialising,
              round % 2 == 0 ? XenbusState::kInitialised : XenbusState::kConnected}) {
            disk.bus().set_state(state);
        }
    }
    disk.close();
    if (!disk.connect()) return told_problem("the disk is not served after it");
    disk.tell({});
    disk.close();
}

void ring_of_another() {
    const Decimal gref(bad_grants().of_another.gref);
    connect_by("ring-ref", gref.view());
}
void read_only_ring() {
    const Decimal gref(bad_grants().read_only.gref);
    connect_by("ring-ref", gref.view());
}

constexpr Way kWays[] = {
    {"block-jump", [] { break_ring(jump); }},
    {"block-jump-far", [] { break_ring(jump_far); }},
    {"block-back", [] { break_ring(go_back); }},
    {"block-ring-huge", [] { connect_by("ring-ref", "4294967295"); }},
    {"block-ring-number", [] { connect_by("ring-ref", "99999999999999999999"); }},
    {"block-ring-text", [] { connect_by("ring-ref", "-8\n\x1b[2J"); }},
    {"block-ring-another", ring_of_another},
    {"block-ring-read-only", read_only_ring},
    {"block-port-huge", [] { connect_by("event-channel", "4294967295"); }},
    {"block-port-used", [] { connect_by("event-channel", "1"); }},
    {"block-queues", [] { connect_by("multi-queue-num-queues", "4294967295"); }},
    {"block-no-queue", [] { connect_by("multi-queue-num-queues", "0"); }},
    {"block-order", [] { connect_by("ring-page-order", "31"); }},
    {"block-protocol", [] { connect_by("protocol", "x86_32-abi"); }},
    {"block-feature", [] { connect_by("feature-persistent", "yes"); }},
    {"block-twins", twins},
    {"block-states", states},
    {"block-reopen", reopen},
};

}  // namespace

std::span<const Way> block_connections() {
    return kWays;
}

}  // namespace torii::cheat
