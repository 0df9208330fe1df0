#include "net/filter.h"

#include <algorithm>

#include "net/frame.h"

namespace torii::backend::net {

namespace {

constexpr size_t kArpLength = 28;  // of Ethernet and IPv4 (RFC 826)

constexpr uint8_t kRouterAdvertisement = 134;
constexpr uint8_t kNeighbourAdvertisement = 136;
constexpr uint8_t kRedirect = 137;
constexpr size_t kAdvertisedAddress = 8;  // offset in a neighbour advertisement (RFC 4861, 4.4)

constexpr uint16_t kDhcpServer = 67;
constexpr uint16_t kDhcpClient = 68;
constexpr uint16_t kDhcpv6Server = 547;

struct Ports {
    uint16_t source = 0;
    uint16_t destination = 0;
};

// Zero when the packet has no UDP header to look at.
Ports udp_ports(std::span<const uint8_t> frame, const Headers& headers) {
    if (headers.protocol != kProtocolUdp || headers.later_fragment || headers.transport == 0 ||
        headers.transport + 4 > headers.end) {
        return {};
    }
    const uint8_t* const udp = frame.data() + headers.transport;
    return {read_be16(udp), read_be16(udp + 2)};
}

}  // namespace

bool Filter::passes(std::span<const uint8_t> frame) const {
    if (config_.own_mac_only && read_address<MacAddress>(frame.data() + 6) != mac_) return false;
    if (!config_.own_mac_only && !config_.addresses()) return true;
    const Headers headers = find_headers(frame);
    if (headers.ethertype == kEtherArp) return arp_passes(frame, headers);
    if (!config_.addresses()) return true;
    if (headers.tagged || headers.malformed) return false;
    if (headers.ip_version == 4) return ipv4_passes(frame, headers);
    if (headers.ip_version == 6) return ipv6_passes(frame, headers);
    return false;
}

bool Filter::arp_passes(std::span<const uint8_t> frame, const Headers& headers) const {
    if (frame.size() < headers.network + kArpLength) return false;
    const uint8_t* const arp = frame.data() + headers.network;
    const bool of_ethernet =
        read_be16(arp) == 1 && read_be16(arp + 2) == kEtherIpv4 && arp[4] == 6 && arp[5] == 4;
    if (!of_ethernet) return false;
    if (config_.own_mac_only && read_address<MacAddress>(arp + 8) != mac_) return false;
    if (!config_.addresses()) return true;
    const auto sender = read_address<Ipv4Address>(arp + 14);
    return !headers.tagged && (sender == Ipv4Address{} || ours(sender));
}

bool Filter::ipv4_passes(std::span<const uint8_t> frame, const Headers& headers) const {
    const auto source = read_address<Ipv4Address>(frame.data() + headers.network + 12);
    const Ports ports = udp_ports(frame, headers);
    if (source == Ipv4Address{}) return ports.source == kDhcpClient && ports.destination == kDhcpServer;
    return ours(source) && ports.source != kDhcpServer;
}

bool Filter::ipv6_passes(std::span<const uint8_t> frame, const Headers& headers) const {
    const auto source = read_address<Ipv6Address>(frame.data() + headers.network + 8);
    if (!source.unspecified() && !ours(source)) return false;
    if (headers.protocol == kProtocolIcmpv6) return icmpv6_passes(frame, headers);
    return !source.unspecified() && udp_ports(frame, headers).source != kDhcpv6Server;
}

bool Filter::icmpv6_passes(std::span<const uint8_t> frame, const Headers& headers) const {
    // Neighbour discovery is never fragmented (RFC 6980); of another message the later fragments may pass.
    if (headers.later_fragment) return true;
    if (headers.transport == 0 || headers.transport >= headers.end) return false;
    const uint8_t type = frame[headers.transport];
    if (type == kRouterAdvertisement || type == kRedirect) return false;
    if (type != kNeighbourAdvertisement) return true;
    if (headers.fragment || headers.transport + kAdvertisedAddress + 16 > headers.end) return false;
    return ours(read_address<Ipv6Address>(frame.data() + headers.transport + kAdvertisedAddress));
}

bool Filter::ours(const Ipv4Address& address) const {
    return std::find(config_.ipv4.begin(), config_.ipv4.end(), address) != config_.ipv4.end();
}

bool Filter::ours(const Ipv6Address& address) const {
    return address == link_local_ ||
           std::find(config_.ipv6.begin(), config_.ipv6.end(), address) != config_.ipv6.end();
}

}  // namespace torii::backend::net
