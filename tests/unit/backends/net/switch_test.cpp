#include "net/switch.h"

#include <gtest/gtest.h>

#include "unit/backends/kit/fake_io_loop.h"
#include "unit/backends/net/packets.h"

namespace torii::backend::net {
namespace {

using namespace test;

class User final : public PortUser {
public:
    size_t frames = 0;
    size_t bursts = 0;
    Bytes last;

    void receive(FramePtr frame) override {
        ++frames;
        last.assign(frame->bytes().begin(), frame->bytes().end());
    }
    void burst_ended() override { ++bursts; }
    void port_ready() override {}
    void link_changed(bool) override {}
    void trouble(const std::string&) override {}
};

MacAddress mac(uint32_t number) {
    return {{0x02, 0, 0, static_cast<uint8_t>(number >> 16), static_cast<uint8_t>(number >> 8),
             static_cast<uint8_t>(number)}};
}

class SwitchTest : public testing::Test {
protected:
    SwitchTest() {
        for (size_t index = 0; index < 3; ++index)
            ports_.push_back(network_->add_port(loop_, users_[index], nullptr));
    }
    bool send(size_t port, const MacAddress& from, const MacAddress& to) {
        const bool taken = ports_[port]->send(Frame::copy_of(make_ethernet(from, to, 0x88B5, Bytes(50))));
        loop_.run();
        return taken;
    }

    backend::test::FakeIoLoop loop_;
    std::shared_ptr<Switch> network_ = std::make_shared<Switch>("net");
    User users_[4];
    std::vector<std::unique_ptr<SwitchPort>> ports_;
};

TEST_F(SwitchTest, FloodsWhatItDoesNotKnowAndLearns) {
    EXPECT_TRUE(send(0, mac(1), mac(2)));
    EXPECT_EQ(users_[0].frames, 0u);
    EXPECT_EQ(users_[1].frames, 1u);
    EXPECT_EQ(users_[2].frames, 1u);
    EXPECT_TRUE(send(1, mac(2), mac(1)));
    EXPECT_EQ(users_[0].frames, 1u);
    EXPECT_EQ(users_[2].frames, 1u) << "known by now";
    EXPECT_TRUE(send(0, mac(1), {{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}}));
    EXPECT_EQ(users_[1].frames, 2u);
    EXPECT_EQ(users_[2].frames, 2u);
}

TEST_F(SwitchTest, NothingComesBackToItsPort) {
    send(0, mac(1), mac(9));
    EXPECT_FALSE(send(0, mac(2), mac(1)));
    EXPECT_EQ(users_[0].frames, 0u);
}

TEST_F(SwitchTest, AFixedAddressCannotBeTaken) {
    const MacAddress fixed = mac(7);
    ports_.push_back(network_->add_port(loop_, users_[3], &fixed));
    send(0, fixed, mac(8));  // claims to be it
    EXPECT_TRUE(send(1, mac(2), fixed));
    EXPECT_EQ(users_[3].frames, 2u);
    EXPECT_EQ(users_[0].frames, 0u);
}

TEST_F(SwitchTest, AddressesMoveWithTheirOwners) {
    send(0, mac(1), mac(9));
    send(1, mac(1), mac(9));
    send(2, mac(3), mac(1));
    EXPECT_EQ(users_[1].frames, 2u);  // the flood, then this one
    EXPECT_EQ(users_[0].frames, 1u);
}

TEST_F(SwitchTest, OnePortCannotFillTheTable) {
    send(1, mac(1), mac(2));
    for (uint32_t number = 100; number < 2000; ++number)
        send(0, mac(number), mac(1));
    EXPECT_EQ(network_->table().size(), Switch::kLearnedPerPort + 1);
    send(2, mac(3), mac(4));
    EXPECT_EQ(network_->table().size(), Switch::kLearnedPerPort + 2) << "others still learn";
    loop_.advance(Switch::kForgetAfter * 2);
    send(2, mac(3), mac(4));
    EXPECT_EQ(network_->table().size(), 1u) << "what was not heard for long is forgotten";
    send(0, mac(5000), mac(1));
    EXPECT_EQ(network_->table().size(), 2u) << "and its places are free again";
}

TEST_F(SwitchTest, AFullInboxDropsAndOthersGoOn) {
    send(1, mac(2), mac(9));
    size_t taken = 0;
    for (int count = 0; count < 2000; ++count)
        taken += ports_[0]->send(Frame::copy_of(make_ethernet(mac(1), mac(2), 0x88B5, Bytes(50)))) ? 1 : 0;
    EXPECT_LT(taken, 1000u);
    EXPECT_TRUE(send(2, mac(3), mac(1)));
    EXPECT_EQ(users_[1].frames, taken);
    EXPECT_EQ(users_[1].bursts, 1u);
    EXPECT_TRUE(send(0, mac(1), mac(2)));
}

TEST_F(SwitchTest, APortThatGoesLeavesNothing) {
    send(0, mac(1), mac(2));
    const size_t before = users_[1].frames;
    ports_[0]->send(Frame::copy_of(make_ethernet(mac(1), mac(2), 0x88B5, Bytes(50))));
    ports_.erase(ports_.begin() + 1);  // with a frame in its inbox
    loop_.run();
    EXPECT_EQ(users_[1].frames, before);
    ports_.clear();
    EXPECT_TRUE(network_->table().empty());
    EXPECT_EQ(network_->port_count(), 0u);
}

}  // namespace
}  // namespace torii::backend::net
