#include "net/checksum.h"

#include <arpa/inet.h>

#include <cstring>

namespace torii::backend::net {

uint32_t add_to_sum(uint32_t sum, std::span<const uint8_t> bytes) {
    // 32-bit words into 64 bits: no carry is lost for the lengths that a frame can have, and the compiler
    // takes several at once.
    uint64_t total = sum;
    size_t at = 0;
    for (; at + 4 <= bytes.size(); at += 4) {
        uint32_t word;
        std::memcpy(&word, bytes.data() + at, sizeof(word));
        total += word;
    }
    uint8_t rest[4] = {};
    if (at != bytes.size()) std::memcpy(rest, bytes.data() + at, bytes.size() - at);
    uint32_t word;
    std::memcpy(&word, rest, sizeof(word));
    total += word;
    total = (total & 0xFFFF'FFFF) + (total >> 32);
    return fold_sum(static_cast<uint32_t>((total & 0xFFFF'FFFF) + (total >> 32)));
}

uint16_t fold_sum(uint32_t sum) {
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    return static_cast<uint16_t>(sum);
}

uint32_t pseudo_header_sum(std::span<const uint8_t> frame, const Headers& headers, uint32_t length) {
    const bool version_6 = headers.ip_version == 6;
    const size_t addresses = size_t{headers.network} + (version_6 ? 8 : 12);
    const uint32_t sum = add_to_sum(0, frame.subspan(addresses, version_6 ? 32 : 8));
    // RFC 8200, 8.1: the length has 32 bits there.
    return sum + htons(static_cast<uint16_t>(length)) + htons(static_cast<uint16_t>(length >> 16)) +
           htons(headers.protocol);
}

}  // namespace torii::backend::net
