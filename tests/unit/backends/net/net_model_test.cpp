// Two guests send each other random frames while the daemon that serves them is killed at random steps, and
// taken over. What arrives is byte-exact, with right checksums, at most doubled by a kill and never
// otherwise; no grant stays mapped, no buffer is lost, and the rings go on.

#include <gtest/gtest.h>

#include <map>

#include "net/headers.h"
#include "unit/backends/net/net_world.h"

namespace torii::backend::net {
namespace {

using namespace test;

struct Sent {
    Bytes bytes;
    bool tcp_or_udp = false;
    size_t arrived_bytes = 0;  // of payload, or of the frame
    size_t length = 0;
};

class Model {
public:
    Model(unsigned seed, FrontendNodes features_of_b, bool kills) : random_(seed), kills_(kills) {
        restart();
        a_.load();
        b_.load(std::move(features_of_b));
        settle();
        EXPECT_EQ(b_.backend_state(), abi::XenbusState::kConnected);
    }

    void run(unsigned steps) {
        for (unsigned step = 0; step < steps; ++step) {
            try {
                this->step();
                check_arrived();
            } catch (const Killed&) {
                ++killed_;
                restart();
            }
            if (testing::Test::HasFatalFailure() || testing::Test::HasFailure()) return;
        }
        finish();
    }
    size_t killed() const { return killed_; }
    size_t whole() const { return whole_; }

private:
    void restart() {
        daemon_.reset();
        EXPECT_EQ(a_.guest().mapped() + b_.guest().mapped(), 0u);
        daemon_ = std::make_unique<NetDaemon>(store_, std::vector{&a_, &b_});
        daemon_->add(a_, NetDaemon::config_for(a_));
        daemon_->add(b_, NetDaemon::config_for(b_));
        // A kill falls into the takeover as well.
        if (kills_) daemon_->steps_to_live = chance(4) ? random_() % 12 : random_() % 600;
    }
    bool chance(unsigned of) { return random_() % of == 0; }
    void settle() { test::settle(store_, *daemon_, {&a_, &b_}); }

    void step() {
        switch (random_() % 6) {
            case 0:
            case 1:
                send(a_, 1, 2);
                break;
            case 2:
                send(b_, 2, 1);
                break;
            case 3:
                daemon_->run();
                break;
            case 4:
                (chance(2) ? a_ : b_).run();
                break;
            default:
                settle();
        }
    }

    // A frame that names itself: by its ports, or by its first bytes.
    void send(NetGuest& from, uint8_t source, uint8_t destination) {
        const uint32_t name = next_name_++;
        Sent sent;
        guest::NetFrameInfo info;
        if (chance(4)) {
            Bytes payload = random_bytes(random_, 4 + random_() % 1500);
            for (unsigned byte = 0; byte < 4; ++byte)
                payload[byte] = static_cast<uint8_t>(name >> (8 * byte));
            sent.bytes =
                make_ethernet(NetDaemon::mac_of(source), NetDaemon::mac_of(destination), 0x88B5, payload);
            sent.length = sent.bytes.size();
        } else {
            PacketOptions options;
            options.source = NetDaemon::mac_of(source);
            options.destination = NetDaemon::mac_of(destination);
            options.source_port = static_cast<uint16_t>(name >> 16);
            options.destination_port = static_cast<uint16_t>(name);
            options.version_6 = chance(2);
            options.tcp = !chance(3);
            options.ip_options = 8 * (random_() % 3);
            options.tcp_options = options.tcp ? 4 * (random_() % 6) : 0;
            options.sequence = static_cast<uint32_t>(random_());
            const bool large = options.tcp && chance(3);
            info.checksum_blank = large || chance(2);
            options.fill_checksum = !info.checksum_blank;
            const size_t length = 1 + (large ? random_() % 60000 : random_() % 1400);
            if (large) {
                info.gso = options.version_6 ? abi::NetGsoType::kTcpV6 : abi::NetGsoType::kTcpV4;
                info.gso_size = static_cast<uint16_t>(500 + random_() % 4000);
            }
            sent.bytes = make_packet(options, random_bytes(random_, length));
            sent.tcp_or_udp = true;
            sent.length = length;
        }
        if (from.front().send(sent.bytes, info)) sent_[name] = std::move(sent);
    }

    void check_arrived() {
        for (NetGuest* const guest : {&a_, &b_}) {
            for (; !guest->arrived.empty(); guest->arrived.pop_front())
                check_frame(guest->arrived.front());
        }
    }

    void check_frame(const Arrived& frame) {
        if (read_be16(frame.bytes.data() + 12) == 0x88B5) {
            uint32_t name = 0;
            for (unsigned byte = 0; byte < 4; ++byte)
                name |= uint32_t{frame.bytes[14 + byte]} << (8 * byte);
            Sent& sent = sent_.at(name);
            ASSERT_EQ(frame.bytes, sent.bytes);
            arrived(sent, frame.bytes.size());
            return;
        }
        const Inspected now = inspect(frame.bytes);
        ASSERT_TRUE(now.ip && now.ip_checksum_right && now.length_right);
        if (!frame.info.checksum_blank) {
            ASSERT_TRUE(now.transport_checksum_right);
        }
        const uint32_t name = uint32_t{read_be16(frame.bytes.data() + now.transport)} << 16 |
                              read_be16(frame.bytes.data() + now.transport + 2);
        Sent& sent = sent_.at(name);
        const Inspected before = inspect(sent.bytes);
        const size_t offset = now.sequence - before.sequence;
        ASSERT_LE(offset + now.payload.size(), before.payload.size());
        ASSERT_TRUE(std::equal(now.payload.begin(), now.payload.end(),
                               before.payload.begin() + static_cast<ptrdiff_t>(offset)))
            << "not the bytes that were sent";
        arrived(sent, now.payload.size());
    }

    void arrived(Sent& sent, size_t bytes) {
        sent.arrived_bytes += bytes;
        if (sent.arrived_bytes == sent.length) ++whole_;
        // Each kill may double what was in work.
        ASSERT_LE(sent.arrived_bytes, sent.length * (1 + killed_));
    }

    void finish() {
        daemon_->steps_to_live.reset();
        kills_ = false;
        settle();
        check_arrived();
        if (killed_ != 0) {
            restart();
            settle();
            check_arrived();
        }
        EXPECT_FALSE(a_.front().broken());
        EXPECT_FALSE(b_.front().broken());
        EXPECT_EQ(a_.front().free_transmit_buffers(), 64u) << "every packet was answered";
        EXPECT_EQ(b_.front().free_transmit_buffers(), 64u);
        EXPECT_TRUE(daemon_->troubles.empty());
        if (killed_ == 0) {
            const uint64_t dropped = daemon_->devices[0]->statistics().to_guest.dropped_in_all() +
                                     daemon_->devices[1]->statistics().to_guest.dropped_in_all();
            size_t missing = 0;
            for (const auto& [name, sent] : sent_)
                missing += sent.arrived_bytes < sent.length ? 1 : 0;
            EXPECT_LE(missing, dropped) << "what did not arrive was counted";
        }
        // The rings go on.
        const size_t before = whole_;
        for (int count = 0; count < 20; ++count) {
            send(a_, 1, 2);
            settle();
            check_arrived();
        }
        EXPECT_GE(whole_, before + 20);
        for (const auto& device : daemon_->devices)
            device->close(true);
        settle();
        EXPECT_EQ(a_.guest().mapped() + b_.guest().mapped(), 0u);
        EXPECT_EQ(a_.front().stop() + b_.front().stop(), 0u);
        EXPECT_EQ(a_.guest().grants() + b_.guest().grants(), 0u);
    }

    std::mt19937 random_;
    bool kills_;
    FakeStore store_;
    NetGuest a_{store_, DomId(1)};
    NetGuest b_{store_, DomId(2)};
    std::unique_ptr<NetDaemon> daemon_;
    std::map<uint32_t, Sent> sent_;
    uint32_t next_name_ = 0x1'0001;
    size_t killed_ = 0;
    size_t whole_ = 0;
};

// Drivers of every kind: each bit takes a feature away.
FrontendNodes features(unsigned without) {
    FrontendNodes nodes = {{"request-rx-copy", "1"}, {"feature-rx-notify", "1"}, {"feature-sg", "1"}};
    if ((without & 1) == 0) nodes.emplace_back("feature-gso-tcpv4", "1");
    if ((without & 2) == 0) nodes.emplace_back("feature-gso-tcpv6", "1");
    if ((without & 4) == 0) nodes.emplace_back("feature-ipv6-csum-offload", "1");
    if ((without & 8) != 0) nodes.emplace_back("feature-no-csum-offload", "1");
    return nodes;
}

TEST(NetModel, EveryFrameArrivesAsItWas) {
    for (unsigned seed = 0; seed < 16; ++seed) {
        Model model(seed, features(seed), false);
        model.run(600);
        EXPECT_GT(model.whole(), 100u);
        if (testing::Test::HasFailure()) return;
    }
}

TEST(NetModel, KilledAtAnyStepTheRingsGoOn) {
    size_t killed = 0;
    for (unsigned seed = 100; seed < 140; ++seed) {
        Model model(seed, features(seed), true);
        model.run(400);
        killed += model.killed();
        if (testing::Test::HasFailure()) {
            ADD_FAILURE() << "seed " << seed;
            return;
        }
    }
    EXPECT_GT(killed, 200u);
}

}  // namespace
}  // namespace torii::backend::net
