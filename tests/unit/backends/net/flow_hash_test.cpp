#include "net/flow_hash.h"

#include <gtest/gtest.h>

#include <set>

#include "unit/backends/net/packets.h"

namespace torii::backend::net {
namespace {

using namespace test;

// The key and the results that are published for verifying implementations of receive-side scaling.
constexpr std::array<uint8_t, 40> kKnownKey = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                               0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                               0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                               0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

HashSettings settings(uint32_t types) {
    HashSettings result;
    result.algorithm = abi::NetHashAlgorithm::kToeplitz;
    result.types = types;
    result.key = kKnownKey;
    return result;
}

TEST(FlowHash, AgreesWithPublishedResults) {
    PacketOptions options;
    options.source4 = {{66, 9, 149, 187}};
    options.destination4 = {{161, 142, 100, 80}};
    options.source_port = 2794;
    options.destination_port = 1766;
    const Bytes v4 = make_packet(options, Bytes(10));
    EXPECT_EQ(hash_flow(settings(abi::kNetHashIpv4), v4).value, 0x323e8fc2u);
    EXPECT_EQ(hash_flow(settings(kAllHashTypes), v4).value, 0x51ccc178u);
    EXPECT_EQ(hash_flow(settings(kAllHashTypes), v4).type, 1);

    options.version_6 = true;
    options.source6 = ipv6("3ffe:2501:200:1fff::7");
    options.destination6 = ipv6("3ffe:2501:200:3::1");
    const Bytes v6 = make_packet(options, Bytes(10));
    EXPECT_EQ(hash_flow(settings(abi::kNetHashIpv6), v6).value, 0x2cc18cd5u);
    EXPECT_EQ(hash_flow(settings(kAllHashTypes), v6).value, 0x40207d3du);
}

TEST(FlowHash, AbsentForWhatWasNotAskedFor) {
    EXPECT_FALSE(hash_flow(HashSettings{}, make_packet({}, Bytes(10))).present);
    EXPECT_FALSE(hash_flow(settings(abi::kNetHashIpv6), make_packet({}, Bytes(10))).present);
    EXPECT_FALSE(hash_flow(settings(kAllHashTypes), make_arp(kMacA, kMacA, kIpA, kIpB)).present);
    PacketOptions udp;
    udp.tcp = false;
    EXPECT_EQ(hash_flow(settings(kAllHashTypes), make_packet(udp, Bytes(10))).type, 0);
}

TEST(FlowHash, MappingChoosesTheQueue) {
    HashSettings chosen = settings(kAllHashTypes);
    const Bytes frame = make_packet({}, Bytes(10));
    const FlowHash hash = hash_flow(chosen, frame);
    EXPECT_EQ(choose_queue(chosen, hash, frame, 4), hash.value % 4);
    chosen.mapping.assign(8, 0);
    chosen.mapping[hash.value % 8] = 3;
    EXPECT_EQ(choose_queue(chosen, hash, frame, 4), 3u);
    EXPECT_LT(choose_queue(chosen, hash, frame, 2), 2u) << "a mapping from when there were more queues";
}

TEST(FlowHash, FlowsWithoutAHashSpreadAndStay) {
    std::set<uint32_t> queues;
    for (uint16_t port = 1; port < 100; ++port) {
        PacketOptions options;
        options.source_port = port;
        const Bytes frame = make_packet(options, Bytes(10));
        const uint32_t queue = choose_queue({}, {}, frame, 4);
        queues.insert(queue);
        EXPECT_EQ(queue, choose_queue({}, {}, make_packet(options, Bytes(500, 1)), 4));
    }
    EXPECT_EQ(queues.size(), 4u);
}

TEST(FlowHash, SettingsSurviveAsText) {
    HashSettings before = settings(kAllHashTypes);
    before.mapping = {0, 1, 2, 3, 3};
    EXPECT_EQ(parse_hash_settings(to_text(before)), before);
    EXPECT_EQ(parse_hash_settings(to_text(HashSettings{})), HashSettings{});
    for (const char* const bad : {"", "x", "1", "1 99", "2 1 00", "1 1 0011"})
        EXPECT_EQ(parse_hash_settings(bad), HashSettings{}) << bad;
}

}  // namespace
}  // namespace torii::backend::net
