#include "lifecycle/uuid.h"

#include <sys/random.h>

#include <random>

namespace torii::dom0 {
namespace {

constexpr bool is_dash_position(size_t index) {
    return index == 8 || index == 13 || index == 18 || index == 23;
}

int digit_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

}  // namespace

std::string format_uuid(const Uuid& uuid) {
    constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (const uint8_t byte : uuid) {
        if (is_dash_position(text.size())) text.push_back('-');
        text.push_back(kDigits[byte >> 4]);
        text.push_back(kDigits[byte & 15]);
    }
    return text;
}

std::optional<Uuid> parse_uuid(std::string_view text) {
    if (text.size() != 36) return std::nullopt;
    Uuid uuid{};
    size_t nibble = 0;
    for (size_t i = 0; i < text.size(); i++) {
        if (is_dash_position(i)) {
            if (text[i] != '-') return std::nullopt;
            continue;
        }
        const int value = digit_value(text[i]);
        if (value < 0) return std::nullopt;
        uuid[nibble / 2] = static_cast<uint8_t>(uuid[nibble / 2] << 4 | value);
        nibble++;
    }
    return uuid;
}

Uuid make_uuid() {
    Uuid uuid{};
    // GRND_INSECURE (Linux 5.6): answers at once, also while the pool of a machine without a random generator
    // fills.
    constexpr unsigned kInsecure = 4;
    if (::getrandom(uuid.data(), uuid.size(), kInsecure) != static_cast<ssize_t>(uuid.size())) {
        std::random_device device;
        for (uint8_t& byte : uuid)
            byte = static_cast<uint8_t>(device());
    }
    uuid[6] = static_cast<uint8_t>((uuid[6] & 0x0F) | 0x40);
    uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3F) | 0x80);
    return uuid;
}

}  // namespace torii::dom0
