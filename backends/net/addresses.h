#pragma once
// Ethernet and IP addresses as values.

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace torii::backend::net {

struct MacAddress {
    std::array<uint8_t, 6> bytes{};

    auto operator<=>(const MacAddress&) const = default;
    bool multicast() const { return (bytes[0] & 1) != 0; }  // broadcast too
    bool zero() const { return *this == MacAddress{}; }
    bool broadcast() const { return *this == MacAddress{{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}}; }
    uint64_t number() const {
        uint64_t value = 0;
        for (const uint8_t byte : bytes)
            value = value << 8 | byte;
        return value;
    }
};

struct Ipv4Address {
    std::array<uint8_t, 4> bytes{};
    auto operator<=>(const Ipv4Address&) const = default;
};

struct Ipv6Address {
    std::array<uint8_t, 16> bytes{};
    auto operator<=>(const Ipv6Address&) const = default;
    bool unspecified() const { return *this == Ipv6Address{}; }
};

// Six pairs of hexadecimal digits with colons between. A multicast or a zero address is none for an
// interface; that is for the caller to refuse.
std::optional<MacAddress> parse_mac(std::string_view text);
std::optional<Ipv4Address> parse_ipv4(std::string_view text);
std::optional<Ipv6Address> parse_ipv6(std::string_view text);
std::string to_text(const MacAddress& address);
std::string to_text(const Ipv4Address& address);
std::string to_text(const Ipv6Address& address);

// The address of a guest's n-th interface when nobody chose one: the same for the same guest and number, for
// ever. In 00:16:3e:00:00:00 and above, which is Xen's range: 24 bits, so two guests may meet; `attempt`
// gives others.
MacAddress generate_mac(std::string_view guest_uuid, uint32_t number, uint32_t attempt = 0);

// What an interface gives itself from its MAC (RFC 4291, appendix A).
Ipv6Address link_local_from_mac(const MacAddress& mac);

template <typename Address>
Address read_address(const uint8_t* from) {
    Address address;
    std::memcpy(address.bytes.data(), from, address.bytes.size());
    return address;
}

}  // namespace torii::backend::net
