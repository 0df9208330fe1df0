// The ring with a hostile other side, and the parts of xenstore-ring.txt that ordinary use doesn't reach.

#include <gtest/gtest.h>

#include <random>

#include "xenstore_kit.h"

namespace torii::dom0::xenstore::test {
namespace {

class RingTest : public ::testing::Test {
protected:
    World world;
    Guest& guest = world.add_guest(5);
    Guest& other = world.add_guest(6);

    void expect_broken(std::uint32_t reason) {
        world.run();
        EXPECT_EQ(guest.page().ring().error, reason);
        EXPECT_EQ(other.write("x", "1"), "OK");
        EXPECT_EQ(world.service().counters().watches, 0u);
        // Nothing more is served, whatever is in the ring.
        const std::uint32_t produced = guest.page().ring().rsp_prod;
        world.run();
        EXPECT_EQ(guest.page().ring().rsp_prod, produced);
    }
    void reconnect() {
        guest.page().ring().connection = abi::kXenstoreReconnect;
        world.run();
        EXPECT_EQ(guest.page().ring().connection, abi::kXenstoreConnected);
        EXPECT_EQ(guest.page().ring().error, abi::kXenstoreErrorNone);
    }
};

TEST_F(RingTest, FeaturesAreOffered) {
    EXPECT_EQ(guest.page().ring().server_features,
              abi::kXenstoreFeatureReconnection | abi::kXenstoreFeatureError);
    EXPECT_GT(guest.page().notifications, 0u);
}

TEST_F(RingTest, IndicesMayStartAnywhereAndWrap) {
    Guest& late = world.add_unconnected_guest(9);
    auto& ring = late.page().ring();
    ring.req_cons = ring.req_prod = 0xFFFFFF00u;
    ring.rsp_cons = ring.rsp_prod = 0xFFFFFFF7u;
    world.introduce(late);
    for (int i = 0; i != 100; ++i)
        EXPECT_EQ(late.ask(Type::kGetDomainPath, zero_terminated("9")), zero_terminated("/local/domain/9"));
    EXPECT_LT(ring.req_prod, 0xFFFFFF00u);
}

TEST_F(RingTest, MessagesLongerThanTheRing) {
    world.client().write("/big", std::string(4000, 'b'));
    world.client().set_permissions("/big", {{kDom0, Access::kRead}});
    EXPECT_EQ(guest.read("/big"), std::string(4000, 'b'));
    EXPECT_EQ(guest.ask(Type::kRead, zero_terminated(std::string(4000, 'p'))), "!EINVAL");
    EXPECT_EQ(guest.write("x", std::string(2000, 'v')), "OK");
    EXPECT_EQ(guest.read("x"), std::string(2000, 'v'));
}

TEST_F(RingTest, MessagesInPiecesOfAnySize) {
    const std::string message = encode_message(Type::kWrite, 0, 0, std::string("x\0value", 7));
    for (std::size_t size = 1; size <= message.size(); ++size) {
        for (std::size_t at = 0; at < message.size(); at += size) {
            guest.push(std::string_view(message).substr(at, size));
            world.run();
        }
        ASSERT_TRUE(guest.next_answer()) << size;
    }
    EXPECT_EQ(guest.read("x"), "value");
}

TEST_F(RingTest, ProducerTooFarAhead) {
    guest.watch("n", "t");
    guest.page().ring().req_prod += 1025;
    expect_broken(abi::kXenstoreErrorRingIndex);
}

TEST_F(RingTest, ProducerBehind) {
    guest.page().ring().req_prod -= 1;
    expect_broken(abi::kXenstoreErrorRingIndex);
}

TEST_F(RingTest, ReaderAheadOfWriter) {
    guest.page().ring().rsp_cons += 1;
    guest.push(encode_message(Type::kRead, 0, 0, zero_terminated("x")));
    expect_broken(abi::kXenstoreErrorRingIndex);
}

TEST_F(RingTest, TooLongMessage) {
    std::string header = encode_message(Type::kRead, 0, 0, "");
    const std::uint32_t length = 4097;
    std::memcpy(header.data() + 12, &length, sizeof(length));
    guest.push(header);
    expect_broken(abi::kXenstoreErrorProtocol);
    reconnect();
    EXPECT_EQ(guest.write("x", "1"), "OK");
}

TEST_F(RingTest, OurIndicesInThePageAreNotBelieved) {
    guest.write("x", "1");
    auto& ring = guest.page().ring();
    const auto produced = ring.rsp_prod;
    ring.req_cons += 12345;
    ring.rsp_prod += 777;
    ring.server_features = 0;
    guest.push("");
    // A request, written behind the true index.
    const std::string message = encode_message(Type::kRead, 0, 0, zero_terminated("x"));
    for (std::size_t i = 0; i != message.size(); ++i) {
        ring.req[(ring.req_prod + i) % abi::kXenstoreRingSize] = static_cast<std::uint8_t>(message[i]);
    }
    ring.req_prod += static_cast<std::uint32_t>(message.size());
    world.run();
    EXPECT_EQ(ring.req_cons, ring.req_prod);
    EXPECT_EQ(ring.rsp_prod, produced + 16 + 1);
}

TEST_F(RingTest, ReconnectionBeginsAnew) {
    guest.watch("n", "t");
    const auto id = guest.start();
    guest.events();
    guest.push(encode_message(Type::kRead, 0, 0, zero_terminated("x")).substr(0, 10));
    world.run();
    auto& ring = guest.page().ring();
    ring.req_prod += 9999;  // in the middle of nonsense
    reconnect();
    EXPECT_EQ(ring.req_prod, 0u);
    EXPECT_EQ(ring.rsp_prod, 0u);
    EXPECT_EQ(world.service().counters().watches, 0u);
    EXPECT_EQ(guest.end(id), "!ENOENT");
    EXPECT_EQ(guest.write("n", "1"), "OK");
    EXPECT_TRUE(guest.events().empty());
}

TEST_F(RingTest, RandomPagesHurtNobodyElse) {
    std::mt19937 random(4711);
    for (int round = 0; round != 3000; ++round) {
        auto& bytes = guest.page().bytes;
        auto& ring = guest.page().ring();
        switch (random() % 5) {
            case 0:
                for (auto& byte : bytes)
                    byte = static_cast<unsigned char>(random());
                break;
            case 1:
                ring.req_prod = ring.req_cons + random() % 1100;
                break;
            case 2:
                ring.rsp_cons = ring.rsp_prod - random() % 1100;
                break;
            case 3:
                for (int i = 0; i != 64; ++i)
                    ring.req[random() % 1024] = static_cast<std::uint8_t>(random() % 32);
                break;
            default:
                ring.connection = random() % 3;
        }
        world.run();
        if (round % 100 == 0) {
            EXPECT_EQ(other.write("x", std::to_string(round)), "OK");
        }
    }
    EXPECT_EQ(with_bars(world.add_guest(0).ask(Type::kControl, zero_terminated("check"))), "OK");
}

TEST_F(RingTest, IntroducedTwice) {
    EXPECT_THROW(world.introduce(guest), StoreFailure);
}

TEST_F(RingTest, ReleasedMeansGone) {
    guest.watch("n", "t");
    guest.start();
    world.service().release(DomId(5));
    EXPECT_FALSE(world.service().is_introduced(DomId(5)));
    EXPECT_EQ(world.service().counters().watches, 0u);
    EXPECT_EQ(world.service().counters().transactions, 0u);
    world.service().ring_signalled(DomId(5));
    world.service().release(DomId(5));
}

}  // namespace
}  // namespace torii::dom0::xenstore::test
