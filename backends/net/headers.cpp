#include "net/headers.h"

namespace torii::backend::net {

namespace {

constexpr size_t kIpv4Header = 20;
constexpr size_t kIpv6Header = 40;

// IPv6 extension headers that may stand before the transport (RFC 8200, 4.1).
constexpr uint8_t kHopByHop = 0;
constexpr uint8_t kRouting = 43;
constexpr uint8_t kFragmentHeader = 44;
constexpr uint8_t kDestinationOptions = 60;
constexpr unsigned kMostExtensions = 8;

void find_ipv4(std::span<const uint8_t> frame, Headers& found) {
    const size_t left = frame.size() - found.network;
    if (left < kIpv4Header) return;
    const uint8_t* const ip = frame.data() + found.network;
    const size_t header = size_t{ip[0] & 15u} * 4;
    const size_t length = read_be16(ip + 2);
    if (ip[0] >> 4 != 4 || header < kIpv4Header || header > left || length < header) {
        found.malformed = true;
        return;
    }
    found.ip_version = 4;
    found.truncated = length > left;
    found.end = static_cast<uint16_t>(found.network + (found.truncated ? left : length));
    const uint16_t fragment = read_be16(ip + 6);
    found.fragment = (fragment & 0x3FFF) != 0;
    found.later_fragment = (fragment & 0x1FFF) != 0;
    found.protocol = ip[9];
    found.transport = static_cast<uint16_t>(found.network + header);
}

// Passes over extension headers. False when they don't end inside the packet.
bool pass_extensions(const uint8_t* frame, Headers& found) {
    size_t at = size_t{found.network} + kIpv6Header;
    for (unsigned count = 0; count <= kMostExtensions; ++count) {
        switch (found.protocol) {
            case kHopByHop:
            case kRouting:
            case kDestinationOptions:
                if (at + 8 > found.end) return false;
                found.protocol = frame[at];
                at += (size_t{frame[at + 1]} + 1) * 8;
                break;
            case kFragmentHeader:
                if (at + 8 > found.end) return false;
                found.fragment = found.fragment || (read_be16(frame + at + 2) & 0xFFF9) != 0;
                found.later_fragment = found.later_fragment || (read_be16(frame + at + 2) & 0xFFF8) != 0;
                found.protocol = frame[at];
                at += 8;
                break;
            default:
                if (at > found.end) return false;
                found.transport = static_cast<uint16_t>(at);
                return true;
        }
        // What follows in a later fragment is data.
        if (found.later_fragment) return true;
    }
    return false;
}

void find_ipv6(std::span<const uint8_t> frame, Headers& found) {
    const size_t left = frame.size() - found.network;
    if (left < kIpv6Header) return;
    const uint8_t* const ip = frame.data() + found.network;
    if (ip[0] >> 4 != 6) {
        found.malformed = true;
        return;
    }
    const size_t length = kIpv6Header + read_be16(ip + 4);
    found.ip_version = 6;
    found.truncated = length > left;
    found.end = static_cast<uint16_t>(found.network + (found.truncated ? left : length));
    found.protocol = ip[6];
    found.malformed = !pass_extensions(frame.data(), found);
}

}  // namespace

Headers find_headers(std::span<const uint8_t> frame) {
    Headers found;
    size_t at = 12;
    if (frame.size() < at + 2) return found;
    found.ethertype = read_be16(frame.data() + at);
    for (unsigned tags = 0;
         tags < 2 && (found.ethertype == kEtherVlan || found.ethertype == kEtherServiceVlan); ++tags) {
        at += 4;
        found.tagged = true;
        if (frame.size() < at + 2) return found;
        found.ethertype = read_be16(frame.data() + at);
    }
    found.network = static_cast<uint16_t>(at + 2);
    if (found.ethertype == kEtherIpv4) find_ipv4(frame, found);
    if (found.ethertype == kEtherIpv6) find_ipv6(frame, found);
    return found;
}

}  // namespace torii::backend::net
