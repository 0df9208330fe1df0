#pragma once
// What a guest may send in whose name. Looks at the copy of a frame that is then sent, so nothing changes
// between look and sending.
//
// Own MAC: the sender's address of the frame, and of ARP inside it.
// With IP addresses given, besides:
//   - frames are IPv4, ARP or IPv6, without VLAN tag: what cannot be looked into does not pass;
//   - an IPv4 family or an IPv6 family without an address given does not pass at all, except that
//   - IPv4 from 0.0.0.0 may ask for an address (UDP port 68 to 67), and ARP from 0.0.0.0 may probe;
//   - IPv6 may come from ::, as it must before there is an address, with ICMPv6 only, and from the link-local
//     address that the MAC gives, and
//   - neighbour advertisements may tell of those addresses only; nobody is told of routers (router
//     advertisements, redirects), and DHCP servers do not pass.

#include "net/headers.h"
#include "net/net_config.h"

namespace torii::backend::net {

class Filter {
public:
    Filter(const FilterConfig& config, const MacAddress& mac)
        : config_(config), mac_(mac), link_local_(link_local_from_mac(mac)) {}

    // The frame has at least an Ethernet header.
    bool passes(std::span<const uint8_t> frame) const;

private:
    bool arp_passes(std::span<const uint8_t> frame, const Headers& headers) const;
    bool ipv4_passes(std::span<const uint8_t> frame, const Headers& headers) const;
    bool ipv6_passes(std::span<const uint8_t> frame, const Headers& headers) const;
    bool icmpv6_passes(std::span<const uint8_t> frame, const Headers& headers) const;
    bool ours(const Ipv4Address& address) const;
    bool ours(const Ipv6Address& address) const;

    FilterConfig config_;
    MacAddress mac_;
    Ipv6Address link_local_;
};

}  // namespace torii::backend::net
