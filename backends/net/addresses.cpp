#include "net/addresses.h"

#include <arpa/inet.h>

namespace torii::backend::net {

namespace {

int hex_digit(char character) {
    if (character >= '0' && character <= '9') return character - '0';
    if (character >= 'a' && character <= 'f') return character - 'a' + 10;
    if (character >= 'A' && character <= 'F') return character - 'A' + 10;
    return -1;
}

template <typename Address>
std::optional<Address> parse_ip(int family, std::string_view text) {
    Address address;
    if (::inet_pton(family, std::string(text).c_str(), address.bytes.data()) != 1) return std::nullopt;
    return address;
}

template <typename Address>
std::string ip_text(int family, const Address& address) {
    char text[INET6_ADDRSTRLEN];
    return ::inet_ntop(family, address.bytes.data(), text, sizeof(text));
}

}  // namespace

std::optional<MacAddress> parse_mac(std::string_view text) {
    if (text.size() != 17) return std::nullopt;
    MacAddress address;
    for (size_t index = 0; index < 6; ++index) {
        const int high = hex_digit(text[index * 3]);
        const int low = hex_digit(text[index * 3 + 1]);
        if (high < 0 || low < 0 || (index < 5 && text[index * 3 + 2] != ':')) return std::nullopt;
        address.bytes[index] = static_cast<uint8_t>(high * 16 + low);
    }
    return address;
}

std::optional<Ipv4Address> parse_ipv4(std::string_view text) {
    return parse_ip<Ipv4Address>(AF_INET, text);
}

std::optional<Ipv6Address> parse_ipv6(std::string_view text) {
    return parse_ip<Ipv6Address>(AF_INET6, text);
}

std::string to_text(const MacAddress& address) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (const uint8_t byte : address.bytes) {
        if (!text.empty()) text += ':';
        text += kDigits[byte >> 4];
        text += kDigits[byte & 15];
    }
    return text;
}

std::string to_text(const Ipv4Address& address) {
    return ip_text(AF_INET, address);
}

std::string to_text(const Ipv6Address& address) {
    return ip_text(AF_INET6, address);
}

MacAddress generate_mac(std::string_view guest_uuid, uint32_t number, uint32_t attempt) {
    // FNV-1a: must give the same in every version of this program, so no library's hash.
    uint64_t hash = 0xCBF2'9CE4'8422'2325;
    const auto add = [&hash](uint8_t byte) { hash = (hash ^ byte) * 0x100'0000'01B3; };
    for (const char character : guest_uuid)
        add(static_cast<uint8_t>(character));
    for (unsigned shift = 0; shift < 32; shift += 8) {
        add(static_cast<uint8_t>(number >> shift));
        add(static_cast<uint8_t>(attempt >> shift));
    }
    hash ^= hash >> 32;
    hash ^= hash >> 24;
    return {{0x00, 0x16, 0x3E, static_cast<uint8_t>(hash >> 16), static_cast<uint8_t>(hash >> 8),
             static_cast<uint8_t>(hash)}};
}

Ipv6Address link_local_from_mac(const MacAddress& mac) {
    Ipv6Address address;
    address.bytes[0] = 0xFE;
    address.bytes[1] = 0x80;
    const auto& from = mac.bytes;
    const std::array<uint8_t, 8> identifier = {
        static_cast<uint8_t>(from[0] ^ 2), from[1], from[2], 0xFF, 0xFE, from[3], from[4], from[5]};
    std::memcpy(address.bytes.data() + 8, identifier.data(), identifier.size());
    return address;
}

}  // namespace torii::backend::net
