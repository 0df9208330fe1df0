#include "net/filter.h"

#include <gtest/gtest.h>

#include "unit/backends/net/packets.h"

namespace torii::backend::net {
namespace {

using namespace test;

class IpFilter : public testing::Test {
protected:
    FilterConfig config_ = {.own_mac_only = true, .ipv4 = {kIpA}, .ipv6 = {ipv6("fd00::1")}};

    bool passes(const Bytes& frame) const { return Filter(config_, kMacA).passes(frame); }
    bool passes(const PacketOptions& options) const { return passes(make_packet(options, Bytes(40))); }
    // An ICMPv6 message; the type is its first byte.
    static Bytes icmpv6(const Ipv6Address& source, uint8_t type, const Ipv6Address& target) {
        PacketOptions options;
        options.version_6 = true;
        options.source6 = source;
        Bytes frame = make_packet(options, Bytes(40));
        frame[14 + 6] = 58;
        frame[14 + 40] = type;
        std::copy(target.bytes.begin(), target.bytes.end(), frame.begin() + 14 + 40 + 8);
        return frame;
    }
};

TEST_F(IpFilter, OwnAddressesPass) {
    EXPECT_TRUE(passes(PacketOptions{}));
    EXPECT_TRUE(passes(PacketOptions{.version_6 = true}));
    EXPECT_TRUE(passes(make_arp(kMacA, kMacA, kIpA, kIpB)));
    EXPECT_TRUE(passes(PacketOptions{.source6 = link_local_from_mac(kMacA), .version_6 = true}));
}

TEST_F(IpFilter, OthersAddressesDoNot) {
    EXPECT_FALSE(passes(PacketOptions{.source = kMacB}));
    EXPECT_FALSE(passes(PacketOptions{.source4 = kIpB}));
    EXPECT_FALSE(passes(PacketOptions{.source6 = ipv6("fd00::2"), .version_6 = true}));
    EXPECT_FALSE(passes(PacketOptions{.source6 = link_local_from_mac(kMacB), .version_6 = true}));
    EXPECT_FALSE(passes(make_arp(kMacA, kMacB, kIpA, kIpB))) << "another's MAC inside";
    EXPECT_FALSE(passes(make_arp(kMacA, kMacA, kIpB, kIpA))) << "another's IP inside";
}

TEST_F(IpFilter, AskingForAnAddressPasses) {
    EXPECT_TRUE(
        passes(PacketOptions{.source4 = {}, .tcp = false, .source_port = 68, .destination_port = 67}));
    EXPECT_FALSE(
        passes(PacketOptions{.source4 = {}, .tcp = false, .source_port = 68, .destination_port = 53}));
    EXPECT_TRUE(passes(make_arp(kMacA, kMacA, {}, kIpA))) << "a probe";
    EXPECT_TRUE(passes(icmpv6({}, 135, ipv6("fd00::1")))) << "duplicate address detection";
    EXPECT_FALSE(passes(PacketOptions{.source6 = {}, .version_6 = true})) << "TCP from nowhere";
}

TEST_F(IpFilter, NobodyIsTaughtWrong) {
    EXPECT_TRUE(passes(icmpv6(ipv6("fd00::1"), 136, ipv6("fd00::1"))));
    EXPECT_FALSE(passes(icmpv6(ipv6("fd00::1"), 136, ipv6("fd00::2")))) << "another's address advertised";
    EXPECT_FALSE(passes(icmpv6(ipv6("fd00::1"), 134, ipv6("fd00::1")))) << "router advertisement";
    EXPECT_FALSE(passes(icmpv6(ipv6("fd00::1"), 137, ipv6("fd00::1")))) << "redirect";
    EXPECT_FALSE(passes(PacketOptions{.tcp = false, .source_port = 67, .destination_port = 68}))
        << "DHCP server";
    EXPECT_FALSE(passes(PacketOptions{.version_6 = true, .tcp = false, .source_port = 547}))
        << "DHCPv6 server";
}

TEST_F(IpFilter, ExtensionHeadersHideNothing) {
    PacketOptions options{.version_6 = true, .ip_options = 8};
    Bytes frame = make_packet(options, Bytes(40));
    EXPECT_TRUE(passes(frame));
    frame[14 + 40] = 58;       // behind the options header: ICMPv6
    frame[14 + 40 + 8] = 134;  // router advertisement
    EXPECT_FALSE(passes(frame));
    // A fragment header makes a neighbour advertisement one that is not looked into by receivers either.
    frame[14 + 6] = 44;
    frame[14 + 40] = 58;
    frame[14 + 40 + 2] = 0;
    frame[14 + 40 + 3] = 1;  // first of several
    frame[14 + 40 + 8] = 136;
    EXPECT_FALSE(passes(frame));
}

TEST_F(IpFilter, WhatCannotBeLookedIntoDoesNotPass) {
    EXPECT_FALSE(passes(PacketOptions{.vlan = true}));
    EXPECT_FALSE(passes(make_ethernet(kMacA, kMacB, 0x88CC, Bytes(50))));
    EXPECT_FALSE(passes(make_ethernet(kMacA, kMacB, 0x0800, Bytes(5))));
    EXPECT_FALSE(passes(make_ethernet(kMacA, kMacB, 0x0806, Bytes(5))));
}

TEST_F(IpFilter, AFamilyWithoutAddressDoesNotPass) {
    config_.ipv6.clear();
    EXPECT_TRUE(passes(PacketOptions{}));
    EXPECT_FALSE(passes(PacketOptions{.version_6 = true}));
    EXPECT_TRUE(passes(PacketOptions{.source6 = link_local_from_mac(kMacA), .version_6 = true}));
}

TEST_F(IpFilter, MacAloneLetsEverythingElsePass) {
    config_ = {};
    EXPECT_TRUE(passes(PacketOptions{.source4 = kIpB, .vlan = true}));
    EXPECT_TRUE(passes(make_ethernet(kMacA, kMacB, 0x88CC, Bytes(50))));
    EXPECT_FALSE(passes(PacketOptions{.source = kMacB}));
    EXPECT_FALSE(passes(make_arp(kMacA, kMacB, kIpA, kIpB)));
    config_.own_mac_only = false;
    EXPECT_TRUE(passes(PacketOptions{.source = kMacB}));
    EXPECT_TRUE(passes(make_arp(kMacA, kMacB, kIpA, kIpB)));
}

TEST(Addresses, AreReadAndWritten) {
    EXPECT_EQ(to_text(*parse_mac("00:16:3e:AA:0b:ff")), "00:16:3e:aa:0b:ff");
    EXPECT_FALSE(parse_mac("00:16:3e:aa:0b"));
    EXPECT_FALSE(parse_mac("00:16:3e:aa:0b:fg"));
    EXPECT_FALSE(parse_mac("00-16-3e-aa-0b-ff"));
    EXPECT_EQ(to_text(link_local_from_mac(kMacA)), "fe80::216:3eff:fe00:a");
}

TEST(Addresses, GeneratedOnesAreStableAndDiffer) {
    const std::string uuid = "0b7ba8f1-5b8e-4b9f-8d0b-2d6c2b0e3c11";
    const MacAddress first = generate_mac(uuid, 0);
    // This value is a promise: guests keep their names for interfaces across versions.
    EXPECT_EQ(to_text(first), to_text(generate_mac(uuid, 0)));
    EXPECT_EQ(to_text(first).substr(0, 9), "00:16:3e:");
    EXPECT_NE(first, generate_mac(uuid, 1));
    EXPECT_NE(first, generate_mac(uuid, 0, 1));
    EXPECT_NE(first, generate_mac("0b7ba8f1-5b8e-4b9f-8d0b-2d6c2b0e3c12", 0));
}

}  // namespace
}  // namespace torii::backend::net
