#pragma once
// Ethernet frames for tests, and the Internet checksum again: bit by bit after RFC 1071, sharing nothing with
// the backend.

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "net/addresses.h"

namespace torii::backend::net::test {

using Bytes = std::vector<uint8_t>;

inline constexpr MacAddress kMacA{{0x00, 0x16, 0x3E, 0, 0, 0xA}};
inline constexpr MacAddress kMacB{{0x00, 0x16, 0x3E, 0, 0, 0xB}};
inline constexpr Ipv4Address kIpA{{10, 0, 0, 1}};
inline constexpr Ipv4Address kIpB{{10, 0, 0, 2}};
Ipv6Address ipv6(const char* text);

struct PacketOptions {
    MacAddress source = kMacA;
    MacAddress destination = kMacB;
    Ipv4Address source4 = kIpA;
    Ipv4Address destination4 = kIpB;
    Ipv6Address source6 = ipv6("fd00::1");
    Ipv6Address destination6 = ipv6("fd00::2");
    bool version_6 = false;
    bool tcp = true;
    uint16_t source_port = 1234;
    uint16_t destination_port = 80;
    size_t tcp_options = 0;  // bytes, a multiple of four
    size_t ip_options = 0;   // of IPv4; of IPv6: bytes of a destination options header, a multiple of eight
    bool vlan = false;
    uint32_t sequence = 1000;
    uint8_t tcp_flags = 0x10;
    bool fill_checksum = true;
};

Bytes make_packet(const PacketOptions& options, std::span<const uint8_t> payload);
Bytes make_ethernet(const MacAddress& source, const MacAddress& destination, uint16_t ethertype,
                    std::span<const uint8_t> payload);
Bytes make_arp(const MacAddress& ethernet_source, const MacAddress& sender, const Ipv4Address& sender_ip,
               const Ipv4Address& target_ip);
Bytes random_bytes(std::mt19937& random, size_t length);

// What stands in a packet, read and summed independently.
struct Inspected {
    bool ip = false;
    bool ip_checksum_right = false;         // IPv6: true
    bool transport_checksum_right = false;  // of TCP and UDP; UDP over IPv4 without one counts as right
    bool length_right = false;              // the IP length is that of the frame
    uint32_t sequence = 0;
    uint8_t tcp_flags = 0;
    uint16_t ip_id = 0;
    size_t transport = 0;
    Bytes payload;
};
Inspected inspect(std::span<const uint8_t> frame);

// The one's complement sum of big-endian words.
uint16_t slow_sum(std::span<const uint8_t> bytes, uint32_t initial = 0);

}  // namespace torii::backend::net::test
