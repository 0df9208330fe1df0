#include "net/net_device.h"

#include <gtest/gtest.h>
#include <torii/failure.h>

#include "unit/backends/net/net_world.h"

namespace torii::backend::net {
namespace {

using namespace test;

class Device : public testing::Test {
protected:
    Device() { restart(); }

    void restart(bool with_b = true) {
        daemon_.reset();
        daemon_ = std::make_unique<NetDaemon>(store_, std::vector{&a_, &b_});
        daemon_->add(a_, NetDaemon::config_for(a_));
        if (with_b) daemon_->add(b_, NetDaemon::config_for(b_));
    }
    void settle() { test::settle(store_, *daemon_, {&a_, &b_}); }
    void connect() {
        a_.load();
        b_.load();
        settle();
        ASSERT_EQ(a_.backend_state(), abi::XenbusState::kConnected);
        ASSERT_EQ(b_.backend_state(), abi::XenbusState::kConnected);
    }
    static Bytes frame_to_b(size_t payload = 100) {
        return make_packet({.source = NetDaemon::mac_of(1), .destination = NetDaemon::mac_of(2)},
                           Bytes(payload, 5));
    }

    FakeStore store_;
    NetGuest a_{store_, DomId(1)};
    NetGuest b_{store_, DomId(2)};
    std::unique_ptr<NetDaemon> daemon_;
};

TEST_F(Device, OffersWhatStockDriversLookFor) {
    settle();
    EXPECT_EQ(a_.backend_state(), abi::XenbusState::kInitWait);
    for (const char* const name : {"feature-rx-copy", "feature-sg", "feature-gso-tcpv4", "feature-gso-tcpv6",
                                   "feature-ipv6-csum-offload", "feature-split-event-channels",
                                   "feature-ctrl-ring", "feature-multicast-control", "carrier"}) {
        EXPECT_EQ(store_.get(a_.backend_path() + "/" + name), "1") << name;
    }
    EXPECT_EQ(store_.get(a_.backend_path() + "/multi-queue-max-queues"), "4");
}

TEST_F(Device, CarriesFramesBetweenGuests) {
    connect();
    const Bytes frame = frame_to_b();
    ASSERT_TRUE(a_.front().send(frame, {}));
    settle();
    ASSERT_EQ(b_.arrived.size(), 1u);
    EXPECT_EQ(b_.arrived.front().bytes, frame);
    EXPECT_TRUE(a_.arrived.empty()) << "nothing comes back";
    EXPECT_EQ(daemon_->devices[0]->statistics().from_guest.frames, 1u);
    EXPECT_EQ(daemon_->devices[1]->statistics().to_guest.bytes, frame.size());
    EXPECT_EQ(a_.front().free_transmit_buffers(), 64u);
}

TEST_F(Device, KeepsToTheGuestsOwnMac) {
    connect();
    Bytes frame = frame_to_b();
    frame[11] = 0x77;
    ASSERT_TRUE(a_.front().send(frame, {}));
    settle();
    EXPECT_TRUE(b_.arrived.empty());
    EXPECT_EQ(daemon_->devices[0]->statistics().from_guest.dropped[static_cast<size_t>(Drop::kFilter)], 1u);
}

TEST_F(Device, LinkDownPassesNothing) {
    connect();
    daemon_->devices[0]->set_link(false);
    settle();
    EXPECT_EQ(store_.get(a_.backend_path() + "/carrier"), "0");
    ASSERT_TRUE(a_.front().send(frame_to_b(), {}));
    ASSERT_TRUE(b_.front().send(frame_to_b(), {}));
    settle();
    EXPECT_TRUE(b_.arrived.empty());
    daemon_->devices[0]->set_link(true);
    ASSERT_TRUE(a_.front().send(frame_to_b(), {}));
    settle();
    EXPECT_EQ(store_.get(a_.backend_path() + "/carrier"), "1");
    EXPECT_EQ(b_.arrived.size(), 1u);
}

TEST_F(Device, DetachesAndLeavesNothing) {
    connect();
    daemon_->devices[0]->close(false);
    settle();
    ASSERT_EQ(daemon_->closed, std::vector<std::string>{""});
    EXPECT_EQ(a_.guest().mapped(), 0u);
    EXPECT_FALSE(a_.guest().bound(a_.tx_port()));
    EXPECT_EQ(daemon_->network()->port_count(), 1u);
    EXPECT_EQ(daemon_->devices[0]->state(), NetState::kClosed);
}

TEST_F(Device, DetachesByForceFromAGuestThatDoesNotAnswer) {
    connect();
    daemon_->devices[0]->close(false);
    daemon_->run();
    EXPECT_TRUE(daemon_->closed.empty());
    daemon_->devices[0]->close(true);
    daemon_->run();
    EXPECT_EQ(daemon_->closed.size(), 1u);
    EXPECT_EQ(a_.guest().mapped(), 0u);
}

TEST_F(Device, ADriverMayComeBack) {
    connect();
    a_.set_state(abi::XenbusState::kClosing);
    daemon_->run();
    a_.set_state(abi::XenbusState::kClosed);
    settle();
    EXPECT_EQ(a_.guest().mapped(), 0u);
    a_.load();
    settle();
    EXPECT_EQ(a_.backend_state(), abi::XenbusState::kConnected);
    ASSERT_TRUE(a_.front().send(frame_to_b(), {}));
    settle();
    EXPECT_EQ(b_.arrived.size(), 1u);
}

TEST_F(Device, RefusesADriverWithImpossibleParameters) {
    const std::pair<const char*, const char*> cases[] = {
        {"request-rx-copy", "0"}, {"multi-queue-num-queues", "5"}, {"multi-queue-num-queues", "0"},
        {"tx-ring-ref", "4711"},  {"event-channel-rx", "x"},       {"event-channel-tx", "4711"},
        {"ctrl-ring-ref", "4711"}};
    for (const auto& [name, value] : cases) {
        a_.load();
        store_.set(a_.frontend_path() + "/" + name, value);
        settle();
        EXPECT_NE(a_.backend_state(), abi::XenbusState::kConnected) << name;
        EXPECT_NE(store_.get(a_.backend_path() + "/error"), "") << name;
        EXPECT_EQ(a_.guest().mapped(), 0u) << name;
        store_.remove(a_.frontend_path() + "/ctrl-ring-ref");
        store_.remove(a_.frontend_path() + "/multi-queue-num-queues");
        settle();
    }
    a_.load();
    settle();
    EXPECT_EQ(a_.backend_state(), abi::XenbusState::kConnected) << "and takes a right one";
}

TEST_F(Device, ABrokenRingCostsItselfOnly) {
    connect();
    auto* const header = reinterpret_cast<abi::SharedRingHeader*>(a_.guest().page(0));
    header->req_prod = 4000;
    a_.guest().notify(a_.tx_port());
    daemon_->run();
    ASSERT_EQ(daemon_->troubles.size(), 1u);
    EXPECT_NE(daemon_->devices[0]->problem().find("more requests than slots"), std::string::npos);
    EXPECT_NE(a_.backend_state(), abi::XenbusState::kConnected);
    EXPECT_EQ(a_.guest().mapped(), 0u);
    ASSERT_TRUE(b_.front().send(make_packet({.source = NetDaemon::mac_of(2)}, Bytes(10)), {}));
    settle();
    EXPECT_EQ(b_.front().free_transmit_buffers(), 64u) << "the other is served";
    a_.load();
    settle();
    EXPECT_EQ(a_.backend_state(), abi::XenbusState::kConnected) << "a new driver begins anew";
}

TEST_F(Device, SuccessorTakesOverWithoutTheGuestNoticing) {
    connect();
    ASSERT_TRUE(a_.front().send(frame_to_b(), {}));
    restart();
    const size_t writes_of_guest_state = 1;
    settle();
    EXPECT_EQ(a_.state(), abi::XenbusState::kConnected);
    EXPECT_EQ(a_.backend_state(), abi::XenbusState::kConnected);
    EXPECT_EQ(b_.arrived.size(), writes_of_guest_state) << "the frame that lay in the ring";
    EXPECT_EQ(a_.front().free_transmit_buffers(), 64u);
    ASSERT_TRUE(b_.front().send(
        make_packet({.source = NetDaemon::mac_of(2), .destination = NetDaemon::mac_of(1)}, Bytes(10)), {}));
    settle();
    EXPECT_EQ(a_.arrived.size(), 1u);
}

TEST_F(Device, LimitsHoldAndNothingIsLostInTheRing) {
    connect();
    daemon_->devices[0]->set_limits({.bytes = {}, .frames = {.per_second = 10, .burst = 1}}, {});
    daemon_->run();
    for (int count = 0; count < 5; ++count)
        ASSERT_TRUE(a_.front().send(frame_to_b(), {}));
    settle();
    EXPECT_EQ(b_.arrived.size(), 1u);
    for (int tenth = 2; tenth <= 5; ++tenth) {
        daemon_->loop().advance(std::chrono::milliseconds(101));
        settle();
        EXPECT_EQ(b_.arrived.size(), static_cast<size_t>(tenth));
    }
}

TEST_F(Device, MulticastIsFilteredWhereTheGuestAsksForIt) {
    connect();
    const uint8_t group[6] = {0x01, 0x00, 0x5E, 1, 2, 3};
    Bytes frame = frame_to_b();
    std::copy(std::begin(group), std::end(group), frame.begin());
    const auto arrives = [&] {
        b_.arrived.clear();
        EXPECT_TRUE(a_.front().send(frame, {}));
        settle();
        return b_.arrived.size() == 1;
    };
    EXPECT_TRUE(arrives());
    store_.set(b_.frontend_path() + "/request-multicast-control", "1");
    settle();
    EXPECT_FALSE(arrives());
    ASSERT_TRUE(b_.front().change_multicast(group, true));
    settle();
    EXPECT_TRUE(arrives());
    daemon_->loop().advance(std::chrono::milliseconds(200));
    settle();
    restart();
    settle();
    EXPECT_TRUE(arrives()) << "a successor knows the groups";
    ASSERT_TRUE(b_.front().change_multicast(group, false));
    settle();
    EXPECT_FALSE(arrives());
    const uint8_t no_group[6] = {0x00, 0x00, 0x5E, 1, 2, 3};
    ASSERT_TRUE(b_.front().change_multicast(no_group, true));
    settle();
    EXPECT_EQ(b_.front().transmit_errors(), 1u);
}

TEST_F(Device, RefusesABadConfiguration) {
    NetConfig config = NetDaemon::config_for(a_);
    config.mac = {{0x01, 0, 0, 0, 0, 1}};
    EXPECT_THROW(daemon_->add(a_, config), Failure);
    config = NetDaemon::config_for(a_);
    config.mtu = 20;
    EXPECT_THROW(daemon_->add(a_, config), Failure);
    config = NetDaemon::config_for(a_);
    config.max_queues = 9;
    EXPECT_THROW(daemon_->add(a_, config), Failure);
}

TEST_F(Device, AttachmentThatCannotBeMadeClosesItWithASentence) {
    NetConfig config = NetDaemon::config_for(a_);
    config.attachment = BridgeAttachment{.bridge = "no-such-bridge0", .tap = "toriitest0"};
    restart(false);
    daemon_->devices.clear();
    daemon_->add(a_, config);
    settle();
    ASSERT_EQ(daemon_->closed.size(), 1u);
    EXPECT_NE(daemon_->closed[0].find("no-such-bridge0"), std::string::npos) << daemon_->closed[0];
}

}  // namespace
}  // namespace torii::backend::net
