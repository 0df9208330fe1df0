// Several queues, drivers with fewer features, and what a queue does with grants and buffers that are not
// there.

#include <gtest/gtest.h>
#include <torii/ring/front_ring.h>

#include "unit/backends/net/net_world.h"

namespace torii::backend::net {
namespace {

using namespace test;

// A driver's rings, written by hand: for what the kit's driver would not do.
class RawQueue {
public:
    explicit RawQueue(FakeGuest& guest)
        : guest_(guest),
          tx_page_(guest.allocate_page()),
          rx_page_(guest.allocate_page()),
          tx(guest.page(tx_page_), kGuestPageSize),
          rx(guest.page(rx_page_), kGuestPageSize),
          tx_gref(guest.grant(tx_page_)),
          rx_gref(guest.grant(rx_page_)),
          port(guest.allocate_unbound()) {}

    void put_frame(const Bytes& frame) {
        const size_t page = guest_.allocate_page();
        std::memcpy(guest_.page(page), frame.data(), frame.size());
        tx.put({.gref = guest_.grant(page, false).raw(),
                .offset = 0,
                .flags = 0,
                .id = 1,
                .size = static_cast<uint16_t>(frame.size())});
        tx.publish();
        guest_.notify(port);
    }
    GrantRef put_buffer() {
        const GrantRef gref = guest_.grant(guest_.allocate_page());
        rx.put({.id = 0, .pad = 0, .gref = gref.raw()});
        rx.publish();
        guest_.notify(port);
        return gref;
    }

private:
    FakeGuest& guest_;
    size_t tx_page_;
    size_t rx_page_;

public:
    ring::FrontRing<abi::TxRequest, abi::TxResponse> tx;
    ring::FrontRing<abi::RxRequest, abi::RxResponse> rx;
    GrantRef tx_gref;
    GrantRef rx_gref;
    Port port;
};

class Queues : public testing::Test {
protected:
    Queues() {
        daemon_.add(a_, NetDaemon::config_for(a_));
        daemon_.add(b_, NetDaemon::config_for(b_));
        a_.load();
        settle();
    }
    void settle() { test::settle(store_, daemon_, {&a_, &b_}); }
    void offer(const FrontendNodes& nodes) {
        for (const auto& [name, value] : nodes)
            store_.set(b_.frontend_path() + "/" + name, value);
        b_.set_state(abi::XenbusState::kInitialising);
        settle();
        ASSERT_EQ(b_.backend_state(), abi::XenbusState::kConnected)
            << store_.get(b_.backend_path() + "/error");
    }
    // One queue, one port for both directions.
    void offer(const RawQueue& queue, FrontendNodes nodes = all_features()) {
        nodes.emplace_back("tx-ring-ref", std::to_string(queue.tx_gref.raw()));
        nodes.emplace_back("rx-ring-ref", std::to_string(queue.rx_gref.raw()));
        nodes.emplace_back("event-channel", std::to_string(queue.port.raw()));
        offer(nodes);
    }
    PacketOptions to_b(uint16_t port = 1) {
        PacketOptions options;
        options.source = NetDaemon::mac_of(1);
        options.destination = NetDaemon::mac_of(2);
        options.source_port = port;
        return options;
    }
    void send_to_b(size_t payload = 10, uint16_t port = 1) {
        ASSERT_TRUE(a_.front().send(make_packet(to_b(port), Bytes(payload, 3)), {}));
        settle();
    }
    TrafficStatistics to_b_counted() { return daemon_.devices[1]->statistics().to_guest; }
    static uint64_t dropped(const TrafficStatistics& traffic, Drop reason) {
        return traffic.dropped[static_cast<size_t>(reason)];
    }

    FakeStore store_;
    NetGuest a_{store_, DomId(1)};
    NetGuest b_{store_, DomId(2)};
    NetDaemon daemon_{store_, {&a_, &b_}};
};

TEST_F(Queues, FlowsKeepTheirQueueAndAllAreUsed) {
    RawQueue queues[2] = {RawQueue(b_.guest()), RawQueue(b_.guest())};
    FrontendNodes nodes = all_features();
    nodes.emplace_back("multi-queue-num-queues", "2");
    for (int index = 0; index < 2; ++index) {
        const std::string folder = "queue-" + std::to_string(index) + "/";
        nodes.emplace_back(folder + "tx-ring-ref", std::to_string(queues[index].tx_gref.raw()));
        nodes.emplace_back(folder + "rx-ring-ref", std::to_string(queues[index].rx_gref.raw()));
        nodes.emplace_back(folder + "event-channel", std::to_string(queues[index].port.raw()));
    }
    offer(nodes);
    for (RawQueue& queue : queues)
        for (int count = 0; count < 64; ++count)
            queue.put_buffer();
    settle();
    size_t both[2] = {};
    for (uint16_t port = 1; port < 20; ++port) {
        size_t seen[2] = {};
        for (int count = 0; count < 2; ++count) {
            send_to_b(10, port);
            for (int index = 0; index < 2; ++index)
                while (queues[index].rx.take())
                    ++seen[index];
        }
        EXPECT_TRUE((seen[0] == 2) != (seen[1] == 2)) << "a flow in one queue";
        both[0] += seen[0];
        both[1] += seen[1];
    }
    EXPECT_GT(both[0], 0u);
    EXPECT_GT(both[1], 0u);
    queues[1].put_frame(
        make_packet({.source = NetDaemon::mac_of(2), .destination = NetDaemon::mac_of(1)}, Bytes(5)));
    settle();
    EXPECT_EQ(a_.arrived.size(), 1u) << "and sends by any";
}

TEST_F(Queues, HashOfTheGuestsChoiceComesWithTheFrame) {
    RawQueue queue(b_.guest());
    const size_t page = b_.guest().allocate_page();
    ring::FrontRing<abi::NetControlRequest, abi::NetControlResponse> control(b_.guest().page(page),
                                                                             kGuestPageSize);
    const Port port = b_.guest().allocate_unbound();
    FrontendNodes nodes = all_features();
    nodes.emplace_back("ctrl-ring-ref", std::to_string(b_.guest().grant(page).raw()));
    nodes.emplace_back("event-channel-ctrl", std::to_string(port.raw()));
    offer(queue, nodes);
    control.put(
        {.id = 1, .type = static_cast<uint16_t>(abi::NetControlType::kSetHashAlgorithm), .data = {1, 0, 0}});
    control.put(
        {.id = 2, .type = static_cast<uint16_t>(abi::NetControlType::kSetHashFlags), .data = {15, 0, 0}});
    control.publish();
    b_.guest().notify(port);
    settle();
    EXPECT_EQ(control.take()->status, 0u);
    EXPECT_EQ(control.take()->status, 0u);
    for (int count = 0; count < 4; ++count)
        queue.put_buffer();
    send_to_b();
    const auto first = queue.rx.take();
    const auto second = queue.rx.take();
    ASSERT_TRUE(first && second);
    EXPECT_NE(first->flags & abi::kRxExtraInfo, 0);
    abi::NetExtraInfo extra;
    std::memcpy(&extra, &*second, sizeof(extra));
    EXPECT_EQ(extra.type, abi::NetExtraType::kHash);
    EXPECT_EQ(extra.u.hash.type, 1) << "TCP over IPv4";
    EXPECT_FALSE(queue.rx.take());
    daemon_.loop().advance(std::chrono::milliseconds(200));
    settle();
    EXPECT_EQ(store_.get(b_.backend_path() + "/torii-hash").substr(0, 5), "1 15 ");
}

TEST_F(Queues, FramesWaitForBuffersAndComeWhole) {
    RawQueue queue(b_.guest());
    offer(queue);
    send_to_b(9000);  // three pages
    queue.put_buffer();
    queue.put_buffer();
    settle();
    EXPECT_FALSE(queue.rx.take()) << "never half a frame";
    queue.put_buffer();
    settle();
    size_t length = 0;
    for (int count = 0; count < 3; ++count) {
        const auto response = queue.rx.take();
        ASSERT_TRUE(response);
        EXPECT_EQ((response->flags & abi::kRxMoreData) != 0, count < 2);
        length += static_cast<size_t>(response->status);
    }
    EXPECT_EQ(length, 9000u + 54);
}

TEST_F(Queues, WithoutScatterGatherOnlyOnePageIsTaken) {
    RawQueue queue(b_.guest());
    offer(queue, {{"request-rx-copy", "1"}, {"feature-rx-notify", "1"}, {"feature-gso-tcpv4", "1"}});
    for (int count = 0; count < 8; ++count)
        queue.put_buffer();
    send_to_b(5000);
    EXPECT_FALSE(queue.rx.take());
    EXPECT_EQ(dropped(to_b_counted(), Drop::kTooLarge), 1u);
    // A large segment is cut.
    ASSERT_TRUE(a_.front().send(make_packet(to_b(), Bytes(5000, 1)),
                                {.checksum_blank = true, .gso = abi::NetGsoType::kTcpV4, .gso_size = 1000}));
    settle();
    for (int count = 0; count < 5; ++count) {
        const auto response = queue.rx.take();
        ASSERT_TRUE(response);
        EXPECT_EQ(response->flags & (abi::kRxMoreData | abi::kRxExtraInfo), 0);
    }
}

TEST_F(Queues, WithoutNotificationNothingWaits) {
    RawQueue queue(b_.guest());
    offer(queue, {{"request-rx-copy", "1"}, {"feature-sg", "1"}});
    send_to_b();
    EXPECT_EQ(dropped(to_b_counted(), Drop::kBacklog), 1u);
    queue.put_buffer();
    send_to_b();
    EXPECT_TRUE(queue.rx.take());
}

TEST_F(Queues, AGuestThatTakesNothingCostsBoundedMemory) {
    RawQueue queue(b_.guest());
    offer(queue);
    for (int count = 0; count < 1000; ++count)
        send_to_b(1400);
    EXPECT_GT(dropped(to_b_counted(), Drop::kBacklog), 300u);
    queue.put_buffer();
    settle();
    EXPECT_TRUE(queue.rx.take());
}

TEST_F(Queues, ABadGrantCostsItsFrame) {
    RawQueue queue(b_.guest());
    offer(queue);
    queue.rx.put({.id = 0, .pad = 0, .gref = 999'999});
    queue.rx.publish();
    queue.put_buffer();
    send_to_b();
    send_to_b();
    EXPECT_EQ(queue.rx.take()->status, static_cast<int16_t>(abi::NetResponse::kError));
    EXPECT_GT(queue.rx.take()->status, 0);
    EXPECT_EQ(dropped(to_b_counted(), Drop::kGrant), 1u);

    queue.tx.put({.gref = 999'999, .offset = 0, .flags = 0, .id = 9, .size = 100});
    queue.tx.publish();
    b_.guest().notify(queue.port);
    settle();
    const auto response = queue.tx.take();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->id, 9);
    EXPECT_EQ(response->status, static_cast<int16_t>(abi::NetResponse::kError));
    EXPECT_TRUE(a_.arrived.empty());
}

TEST_F(Queues, OneWhoNeverStopsLeavesTurnsToOthers) {
    RawQueue queue(b_.guest());
    offer(queue);
    // Its ring fills up again while it is served, so that there is always more.
    size_t refilled = 0;
    const Bytes frame =
        make_packet({.source = NetDaemon::mac_of(2), .destination = NetDaemon::mac_of(1)}, Bytes(5));
    const size_t page = b_.guest().allocate_page();
    std::memcpy(b_.guest().page(page), frame.data(), frame.size());
    const GrantRef gref = b_.guest().grant(page, false);
    const auto refill = [&] {
        while (queue.tx.take()) {
        }
        while (refilled < 20'000 && queue.tx.put({.gref = gref.raw(),
                                                  .offset = 0,
                                                  .flags = 0,
                                                  .id = 1,
                                                  .size = static_cast<uint16_t>(frame.size())}))
            ++refilled;
        queue.tx.publish();
    };
    refill();
    daemon_.while_copying = refill;
    b_.guest().notify(queue.port);
    size_t turns = 0;
    while (daemon_.devices[0]->statistics().from_guest.frames == 0 && turns < 50) {
        if (++turns == 3) {
            ASSERT_TRUE(a_.front().send(make_packet(to_b(), Bytes(10)), {}));
        }
        daemon_.loop().turn();
    }
    EXPECT_LT(turns, 10u) << "the other's frame is taken within a few turns";
    EXPECT_LT(daemon_.devices[1]->statistics().from_guest.frames, 64u * 20);
    daemon_.while_copying = nullptr;
}

}  // namespace
}  // namespace torii::backend::net
