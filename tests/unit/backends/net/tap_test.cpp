// A tap in a bridge of this host, with a second tap as the other side. Needs /dev/net/tun and the right to
// make interfaces.

#include <gtest/gtest.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <torii/failure.h>
#include <unistd.h>

#include <cstdlib>

#include "net/headers.h"
#include "net/tap_port.h"
#include "unit/backends/net/packets.h"
#include "unit/backends/net/poll_loop.h"

namespace torii::backend::net {
namespace {

using namespace test;
using namespace std::chrono_literals;

class User final : public PortUser {
public:
    std::vector<FramePtr> frames;
    void receive(FramePtr frame) override { frames.push_back(std::move(frame)); }
    void burst_ended() override {}
    void port_ready() override {}
    void link_changed(bool up) override { link = up; }
    void trouble(const std::string& sentence) override { troubles.push_back(sentence); }
    bool link = true;
    std::vector<std::string> troubles;
};

class Tap : public testing::Test {
protected:
    void SetUp() override {
        // Interfaces of a network namespace of its own: nothing of the host is touched.
        if (::unshare(CLONE_NEWNET) != 0 || ::access("/dev/net/tun", R_OK | W_OK) != 0)
            GTEST_SKIP() << "no right to make interfaces here";
        if (std::system("ip link add toriibr0 type bridge && ip link set toriibr0 up") != 0)
            GTEST_SKIP() << "no bridge can be made here";
    }
    bool run_until(const std::function<bool()>& done) { return loop_.run_until(done); }
    // The first frame to that port, not noise of the host's own.
    static const Frame* find(const User& user, const MacAddress& source) {
        for (const FramePtr& frame : user.frames)
            if (read_address<MacAddress>(frame->data() + 6) == source) return frame.get();
        return nullptr;
    }

    PollLoop loop_;
    User user_a_;
    User user_b_;
};

TEST_F(Tap, CarriesFramesWithTheirOffloads) {
    TapPort a(loop_, {.bridge = "toriibr0", .tap = "toriitap0"}, 1500, user_a_);
    TapPort b(loop_, {.bridge = "toriibr0", .tap = "toriitap1"}, 1500, user_b_);
    std::mt19937 random(1);
    PacketOptions options;
    options.fill_checksum = false;
    const Bytes payload = random_bytes(random, 30'000);
    FramePtr frame = Frame::copy_of(make_packet(options, payload));
    ASSERT_TRUE(prepare_checksum(*frame));
    frame->info.gso = Gso::kTcpV4;
    frame->info.gso_size = 1448;
    ASSERT_TRUE(prepare_gso(*frame));
    ASSERT_TRUE(run_until([&] {
        // A bridge needs its time until a new port forwards.
        (void)a.send(Frame::copy_of(*frame));
        return find(user_b_, kMacA) != nullptr;
    }));
    const Frame* const arrived = find(user_b_, kMacA);
    EXPECT_EQ(arrived->info.gso, Gso::kTcpV4) << "whole, as the sender gave it";
    EXPECT_EQ(arrived->info.gso_size, 1448);
    EXPECT_EQ(arrived->info.checksum, Checksum::kPartial);
    EXPECT_EQ(inspect(arrived->bytes()).payload, payload);
    EXPECT_EQ(find(user_a_, kMacA), nullptr);
}

TEST_F(Tap, OneThatIsRemovedIsALinkDownAndNoLoop) {
    TapPort port(loop_, {.bridge = "toriibr0", .tap = "toriitap0"}, 1500, user_a_);
    ASSERT_EQ(std::system("ip link del toriitap0"), 0);
    EXPECT_TRUE(run_until([&] { return !user_a_.link; }));
    EXPECT_FALSE(port.link());
    for (int count = 0; count < 5; ++count)
        loop_.run_once(1ms);
    EXPECT_EQ(user_a_.troubles.size(), 1u) << "said once";
}

TEST_F(Tap, SaysWhatIsWrong) {
    try {
        TapPort port(loop_, {.bridge = "nosuchbr0", .tap = "toriitap0"}, 1500, user_a_);
        ADD_FAILURE();
    } catch (const Failure& failure) {
        EXPECT_NE(std::string(failure.what()).find("nosuchbr0"), std::string::npos);
    }
    TapPort first(loop_, {.bridge = "toriibr0", .tap = "toriitap0"}, 1500, user_a_);
    EXPECT_THROW(TapPort(loop_, {.bridge = "toriibr0", .tap = "toriitap0"}, 1500, user_b_), Failure);
    EXPECT_THROW(TapPort(loop_, {.bridge = "toriibr0", .tap = "a-name-that-is-too-long"}, 1500, user_b_),
                 Failure);
}

TEST(TapHeaders, SayWhatTheFrameIs) {
    FrameInfo info;
    info.checksum = Checksum::kPartial;
    info.checksum_start = 34;
    info.checksum_offset = 16;
    info.gso = Gso::kTcpV6;
    info.gso_size = 1440;
    info.header_length = 74;
    const TapHeader header = header_for_tap(info);
    EXPECT_EQ(header.flags, TapHeader::kNeedsChecksum);
    EXPECT_EQ(header.gso_type, TapHeader::kTcpV6);
    EXPECT_EQ(header.header_length, 74);
    FramePtr frame = Frame::copy_of(make_packet({}, Bytes(100)));
    EXPECT_FALSE(info_from_tap(header, *frame)) << "IPv4 inside";
    TapHeader udp{};
    udp.gso_type = 3;
    EXPECT_FALSE(info_from_tap(udp, *frame)) << "UDP fragmentation, never offered";
}

}  // namespace
}  // namespace torii::backend::net
