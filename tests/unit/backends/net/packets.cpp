#include "unit/backends/net/packets.h"

#include <stdexcept>

namespace torii::backend::net::test {

namespace {

void put16(Bytes& out, uint32_t value) {
    out.push_back(static_cast<uint8_t>(value >> 8));
    out.push_back(static_cast<uint8_t>(value));
}
void put32(Bytes& out, uint32_t value) {
    put16(out, value >> 16);
    put16(out, value & 0xFFFF);
}
template <typename Address>
void put(Bytes& out, const Address& address) {
    out.insert(out.end(), address.bytes.begin(), address.bytes.end());
}
uint32_t get16(std::span<const uint8_t> bytes, size_t at) {
    return uint32_t{bytes[at]} * 256 + bytes[at + 1];
}

// Sum of the addresses, the protocol and the length.
uint32_t pseudo(std::span<const uint8_t> addresses, uint8_t protocol, size_t length) {
    Bytes header(addresses.begin(), addresses.end());
    put32(header, static_cast<uint32_t>(length));
    put32(header, protocol);
    return slow_sum(header);
}

Bytes make_transport(const PacketOptions& options, std::span<const uint8_t> payload) {
    Bytes out;
    put16(out, options.source_port);
    put16(out, options.destination_port);
    if (options.tcp) {
        put32(out, options.sequence);
        put32(out, 77);
        out.push_back(static_cast<uint8_t>((20 + options.tcp_options) / 4 << 4));
        out.push_back(options.tcp_flags);
        put16(out, 4096);
        put32(out, 0);
        out.resize(out.size() + options.tcp_options, 1);
    } else {
        put16(out, static_cast<uint32_t>(8 + payload.size()));
        put16(out, 0);
    }
    out.insert(out.end(), payload.begin(), payload.end());
    return out;
}

}  // namespace

Ipv6Address ipv6(const char* text) {
    const auto address = parse_ipv6(text);
    if (!address) throw std::invalid_argument(text);
    return *address;
}

uint16_t slow_sum(std::span<const uint8_t> bytes, uint32_t initial) {
    uint32_t sum = initial;
    for (size_t at = 0; at < bytes.size(); at += 2) {
        sum += uint32_t{bytes[at]} * 256 + (at + 1 < bytes.size() ? bytes[at + 1] : 0u);
        if (sum > 0xFFFF) sum = sum - 0x10000 + 1;
    }
    return static_cast<uint16_t>(sum);
}

Bytes make_packet(const PacketOptions& options, std::span<const uint8_t> payload) {
    Bytes transport = make_transport(options, payload);
    const uint8_t protocol = options.tcp ? 6 : 17;
    Bytes addresses;
    if (options.version_6) {
        put(addresses, options.source6);
        put(addresses, options.destination6);
    } else {
        put(addresses, options.source4);
        put(addresses, options.destination4);
    }
    if (options.fill_checksum) {
        uint32_t sum = 0xFFFFu - slow_sum(transport, pseudo(addresses, protocol, transport.size()));
        if (sum == 0 && !options.tcp) sum = 0xFFFF;
        const size_t at = options.tcp ? 16 : 6;
        transport[at] = static_cast<uint8_t>(sum >> 8);
        transport[at + 1] = static_cast<uint8_t>(sum);
    }
    Bytes out;
    put(out, options.destination);
    put(out, options.source);
    if (options.vlan) {
        put16(out, 0x8100);
        put16(out, 42);
    }
    put16(out, options.version_6 ? 0x86DD : 0x0800);
    const size_t network = out.size();
    if (options.version_6) {
        put32(out, 0x6000'0000);
        put16(out, static_cast<uint32_t>(options.ip_options + transport.size()));
        out.push_back(options.ip_options != 0 ? 60 : protocol);
        out.push_back(64);
        out.insert(out.end(), addresses.begin(), addresses.end());
        if (options.ip_options != 0) {
            out.push_back(protocol);
            out.push_back(static_cast<uint8_t>(options.ip_options / 8 - 1));
            out.push_back(1);  // PadN to the end
            out.push_back(static_cast<uint8_t>(options.ip_options - 4));
            out.resize(out.size() + options.ip_options - 4);
        }
    } else {
        out.push_back(static_cast<uint8_t>(0x45 + options.ip_options / 4));
        out.push_back(0);
        put16(out, static_cast<uint32_t>(20 + options.ip_options + transport.size()));
        put16(out, 500);
        put16(out, 0x4000);
        out.push_back(64);
        out.push_back(protocol);
        put16(out, 0);
        out.insert(out.end(), addresses.begin(), addresses.end());
        out.resize(out.size() + options.ip_options, 1);
        const uint32_t sum = 0xFFFFu - slow_sum(std::span(out).subspan(network));
        out[network + 10] = static_cast<uint8_t>(sum >> 8);
        out[network + 11] = static_cast<uint8_t>(sum);
    }
    out.insert(out.end(), transport.begin(), transport.end());
    return out;
}

Bytes make_ethernet(const MacAddress& source, const MacAddress& destination, uint16_t ethertype,
                    std::span<const uint8_t> payload) {
    Bytes out;
    put(out, destination);
    put(out, source);
    put16(out, ethertype);
    out.insert(out.end(), payload.begin(), payload.end());
    return out;
}

Bytes make_arp(const MacAddress& ethernet_source, const MacAddress& sender, const Ipv4Address& sender_ip,
               const Ipv4Address& target_ip) {
    Bytes arp = {0, 1, 8, 0, 6, 4, 0, 1};
    put(arp, sender);
    put(arp, sender_ip);
    put(arp, MacAddress{});
    put(arp, target_ip);
    return make_ethernet(ethernet_source, {{255, 255, 255, 255, 255, 255}}, 0x0806, arp);
}

Bytes random_bytes(std::mt19937& random, size_t length) {
    Bytes bytes(length);
    for (uint8_t& byte : bytes)
        byte = static_cast<uint8_t>(random());
    return bytes;
}

Inspected inspect(std::span<const uint8_t> frame) {
    Inspected found;
    size_t at = 12;
    while (get16(frame, at) == 0x8100)
        at += 4;
    const bool version_6 = get16(frame, at) == 0x86DD;
    if (!version_6 && get16(frame, at) != 0x0800) return found;
    const size_t network = at + 2;
    found.ip = true;
    uint8_t protocol = 0;
    std::span<const uint8_t> addresses;
    if (version_6) {
        protocol = frame[network + 6];
        found.transport = network + 40;
        if (protocol == 60) {
            protocol = frame[found.transport];
            found.transport += (frame[found.transport + 1] + size_t{1}) * 8;
        }
        found.ip_checksum_right = true;
        found.length_right = frame.size() == network + 40 + get16(frame, network + 4);
        addresses = frame.subspan(network + 8, 32);
    } else {
        const size_t header = (frame[network] & 15) * size_t{4};
        protocol = frame[network + 9];
        found.transport = network + header;
        found.ip_checksum_right = slow_sum(frame.subspan(network, header)) == 0xFFFF;
        found.length_right = frame.size() == network + get16(frame, network + 2);
        found.ip_id = static_cast<uint16_t>(get16(frame, network + 4));
        addresses = frame.subspan(network + 12, 8);
    }
    const std::span<const uint8_t> transport = frame.subspan(found.transport);
    const uint32_t sum = pseudo(addresses, protocol, transport.size());
    found.transport_checksum_right = slow_sum(transport, sum) == 0xFFFF;
    size_t payload = 8;
    if (protocol == 6) {
        found.sequence = get16(transport, 4) << 16 | get16(transport, 6);
        found.tcp_flags = transport[13];
        payload = (transport[12] >> 4) * size_t{4};
    } else if (!version_6 && get16(transport, 6) == 0) {
        found.transport_checksum_right = true;
    }
    found.payload.assign(transport.begin() + static_cast<ptrdiff_t>(payload), transport.end());
    return found;
}

}  // namespace torii::backend::net::test
