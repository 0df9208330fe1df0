#include "net/flow_hash.h"

#include <charconv>
#include <cstring>
#include <string>

#include "net/headers.h"

namespace torii::backend::net {

namespace {

// Addresses and, for TCP, ports of a frame as the hash takes them.
struct FlowBytes {
    std::array<uint8_t, 36> bytes{};
    size_t addresses = 0;  // length; 0: not IP
    bool tcp = false;
    bool version_6 = false;
    size_t with_ports() const { return addresses + 4; }
};

FlowBytes flow_of(std::span<const uint8_t> frame) {
    FlowBytes flow;
    const Headers headers = find_headers(frame);
    if (headers.ip_version == 0) return flow;
    flow.version_6 = headers.ip_version == 6;
    flow.addresses = flow.version_6 ? 32 : 8;
    std::memcpy(flow.bytes.data(), frame.data() + headers.network + (flow.version_6 ? 8 : 12),
                flow.addresses);
    flow.tcp = headers.tcp_header_present() && !headers.fragment && headers.transport + 4 <= headers.end;
    if (flow.tcp) std::memcpy(flow.bytes.data() + flow.addresses, frame.data() + headers.transport, 4);
    return flow;
}

constexpr uint8_t kTypeIpv4 = 0;  // bit numbers of abi::kNetHash...
constexpr uint8_t kTypeIpv4Tcp = 1;
constexpr uint8_t kTypeIpv6 = 2;
constexpr uint8_t kTypeIpv6Tcp = 3;

// One of the words of to_text(), and the rest of the text behind it.
std::string_view next_word(std::string_view& text) {
    const size_t end = text.find(' ');
    const std::string_view word = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    return word;
}

bool parse_number(std::string_view text, uint32_t& value, int base = 10) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

uint32_t toeplitz_hash(std::span<const uint8_t> key, std::span<const uint8_t> input) {
    const auto key_byte = [key](size_t index) { return index < key.size() ? uint32_t{key[index]} : 0u; };
    uint32_t window = key_byte(0) << 24 | key_byte(1) << 16 | key_byte(2) << 8 | key_byte(3);
    uint32_t hash = 0;
    for (size_t index = 0; index < input.size(); ++index) {
        const uint32_t entering = key_byte(index + 4);
        for (int bit = 7; bit >= 0; --bit) {
            if ((input[index] >> bit & 1) != 0) hash ^= window;
            window = window << 1 | (entering >> bit & 1);
        }
    }
    return hash;
}

FlowHash hash_flow(const HashSettings& settings, std::span<const uint8_t> frame) {
    FlowHash hash;
    if (!settings.active()) return hash;
    const FlowBytes flow = flow_of(frame);
    if (flow.addresses == 0) return hash;
    const uint32_t with_ports = flow.version_6 ? abi::kNetHashIpv6Tcp : abi::kNetHashIpv4Tcp;
    const uint32_t addresses = flow.version_6 ? abi::kNetHashIpv6 : abi::kNetHashIpv4;
    size_t length = 0;
    if (flow.tcp && (settings.types & with_ports) != 0) {
        hash.type = flow.version_6 ? kTypeIpv6Tcp : kTypeIpv4Tcp;
        length = flow.with_ports();
    } else if ((settings.types & addresses) != 0) {
        hash.type = flow.version_6 ? kTypeIpv6 : kTypeIpv4;
        length = flow.addresses;
    } else {
        return hash;
    }
    hash.present = true;
    hash.value = toeplitz_hash(settings.key, {flow.bytes.data(), length});
    return hash;
}

uint32_t choose_queue(const HashSettings& settings, const FlowHash& hash, std::span<const uint8_t> frame,
                      uint32_t queues) {
    if (queues == 1) return 0;
    if (hash.present) {
        if (settings.mapping.empty()) return hash.value % queues;
        return settings.mapping[hash.value % settings.mapping.size()] % queues;
    }
    // One that needs no key: only that a flow's frames stay in order.
    const FlowBytes flow = flow_of(frame);
    uint32_t mixed = 0;
    for (size_t at = 0; at < flow.with_ports(); at += 4) {
        uint32_t word;
        std::memcpy(&word, flow.bytes.data() + at, sizeof(word));
        mixed = (mixed ^ word) * 0x9E37'79B1u;
        mixed ^= mixed >> 15;
    }
    return mixed % queues;
}

std::string to_text(const HashSettings& settings) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text = std::to_string(static_cast<uint32_t>(settings.algorithm)) + ' ' +
                       std::to_string(settings.types) + ' ';
    for (const uint8_t byte : settings.key) {
        text += kDigits[byte >> 4];
        text += kDigits[byte & 15];
    }
    for (const uint32_t queue : settings.mapping)
        text += ' ' + std::to_string(queue);
    return text;
}

HashSettings parse_hash_settings(std::string_view text) {
    HashSettings settings;
    uint32_t algorithm = 0;
    if (!parse_number(next_word(text), algorithm) || algorithm > 1) return {};
    settings.algorithm = static_cast<abi::NetHashAlgorithm>(algorithm);
    if (!parse_number(next_word(text), settings.types) || (settings.types & ~kAllHashTypes) != 0) return {};
    const std::string_view key = next_word(text);
    if (key.size() != kMaxHashKey * 2) return {};
    for (size_t index = 0; index < kMaxHashKey; ++index) {
        uint32_t byte = 0;
        if (!parse_number(key.substr(index * 2, 2), byte, 16)) return {};
        settings.key[index] = static_cast<uint8_t>(byte);
    }
    while (!text.empty()) {
        uint32_t queue = 0;
        if (settings.mapping.size() == kMaxHashMapping || !parse_number(next_word(text), queue)) return {};
        settings.mapping.push_back(queue);
    }
    return settings;
}

}  // namespace torii::backend::net
