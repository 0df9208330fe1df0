#pragma once
// Where the headers of a frame lie. Every length in them is the sender's word: what is found here lies inside
// the frame, or is not found.

#include <cstddef>
#include <cstdint>
#include <span>

namespace torii::backend::net {

inline constexpr uint16_t kEtherIpv4 = 0x0800;
inline constexpr uint16_t kEtherArp = 0x0806;
inline constexpr uint16_t kEtherVlan = 0x8100;
inline constexpr uint16_t kEtherServiceVlan = 0x88A8;
inline constexpr uint16_t kEtherIpv6 = 0x86DD;

inline constexpr uint8_t kProtocolTcp = 6;
inline constexpr uint8_t kProtocolUdp = 17;
inline constexpr uint8_t kProtocolIcmpv6 = 58;

inline uint16_t read_be16(const uint8_t* from) {
    return static_cast<uint16_t>(from[0] << 8 | from[1]);
}
inline uint32_t read_be32(const uint8_t* from) {
    return uint32_t{read_be16(from)} << 16 | read_be16(from + 2);
}
inline void write_be16(uint8_t* to, uint32_t value) {
    to[0] = static_cast<uint8_t>(value >> 8);
    to[1] = static_cast<uint8_t>(value);
}
inline void write_be32(uint8_t* to, uint32_t value) {
    write_be16(to, value >> 16);
    write_be16(to + 2, value);
}

struct Headers {
    uint16_t ethertype = 0;  // behind VLAN tags, of which two at most are passed over
    bool tagged = false;     // there were some
    uint8_t ip_version = 0;  // 4, 6, or 0: no whole IP header
    uint16_t network = 0;    // offset of the IP header
    uint16_t transport = 0;  // offset of what comes behind IP and its extensions; 0 if that isn't known
    uint16_t end = 0;        // end of the IP packet, as its length says; never beyond the frame
    uint8_t protocol = 0;    // of the transport
    bool fragment = false;   // one of several: with later ones there is no transport header
    bool later_fragment = false;
    bool truncated = false;  // the IP header claims more than the frame has
    bool malformed = false;  // looks like IP and cannot be

    bool tcp_header_present() const { return transport != 0 && protocol == kProtocolTcp && !later_fragment; }
};

// A frame shorter than an Ethernet header has none of it.
Headers find_headers(std::span<const uint8_t> frame);

}  // namespace torii::backend::net
