// Has an address on a network: answers ARP (RFC 826) and ping (RFC 792) at device/vif/0, or `net=NUMBER` of
// the command line, as 10.1.0.9, or `address=A.B.C.D`. With `pings=COUNT` it lets go of the card after so
// many.

#include <torii/guest/console.h>
#include <torii/guest/start.h>

#include <algorithm>
#include <optional>
#include <span>

#include "drivers/net_card.h"

using namespace torii::guest;

namespace {

using Frame = std::span<uint8_t>;

constexpr uint16_t kTypeIpv4 = 0x0800, kTypeArp = 0x0806;
constexpr size_t kEthernet = 14, kArp = 28, kIpv4 = 20, kIcmp = 8;
constexpr uint16_t kArpRequest = 1, kArpReply = 2;
constexpr uint8_t kIcmp4 = 1, kEchoRequest = 8, kEchoReply = 0;
constexpr uint64_t kWaitNs = 1'000'000'000;

uint8_t g_address[4] = {10, 1, 0, 9};
uint64_t g_pings;
void received(std::span<const uint8_t> frame, const NetFrameInfo& info, void*);
// Filled when the guest runs: nobody runs constructors of global objects.
constinit std::optional<NetCard> g_card;

uint16_t read_be16(const uint8_t* at) {
    return static_cast<uint16_t>(at[0] << 8 | at[1]);
}
void write_be16(uint8_t* at, uint16_t value) {
    at[0] = static_cast<uint8_t>(value >> 8);
    at[1] = static_cast<uint8_t>(value);
}

// RFC 1071.
uint16_t checksum(std::span<const uint8_t> bytes) {
    uint32_t sum = 0;
    for (size_t at = 0; at < bytes.size(); ++at)
        sum += at % 2 == 0 ? uint32_t{bytes[at]} << 8 : bytes[at];
    while (sum > 0xFFFF)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return static_cast<uint16_t>(~sum);
}

bool ours(const uint8_t* address) {
    return std::equal(g_address, g_address + 4, address);
}

void send_back(Frame frame) {
    std::copy_n(frame.data() + 6, 6, frame.data());
    std::copy_n(g_card->mac().data(), 6, frame.data() + 6);
    g_card->send(frame);
}

void answer_arp(Frame frame) {
    uint8_t* const arp = frame.data() + kEthernet;
    if (frame.size() < kEthernet + kArp || read_be16(arp + 6) != kArpRequest || !ours(arp + 24)) return;
    write_be16(arp + 6, kArpReply);
    std::copy_n(arp + 8, 10, arp + 18);  // who asked is who is told
    std::copy_n(g_card->mac().data(), 6, arp + 8);
    std::copy_n(g_address, 4, arp + 14);
    send_back(frame.first(kEthernet + kArp));
}

// Requests in one piece, as `ping` sends them up to the network's MTU.
void answer_ping(Frame frame) {
    uint8_t* const ip = frame.data() + kEthernet;
    if (frame.size() < kEthernet + kIpv4 + kIcmp) return;
    const size_t header = (ip[0] & 15u) * 4;
    const size_t length = read_be16(ip + 2);
    const bool whole = (read_be16(ip + 6) & 0x3FFF) == 0;
    if (ip[0] >> 4 != 4 || header < kIpv4 || length < header + kIcmp || kEthernet + length > frame.size() ||
        ip[9] != kIcmp4 || !whole || !ours(ip + 16)) {
        return;
    }
    const std::span<uint8_t> icmp(ip + header, length - header);
    if (icmp[0] != kEchoRequest || checksum(icmp) != 0) return;
    icmp[0] = kEchoReply;
    write_be16(&icmp[2], 0);
    write_be16(&icmp[2], checksum(icmp));
    std::swap_ranges(ip + 12, ip + 16, ip + 16);
    send_back(frame.first(kEthernet + length));
    ++g_pings;
}

void received(std::span<const uint8_t> bytes, const NetFrameInfo&, void*) {
    static uint8_t copy[NetFront::kMaxFrame];
    if (bytes.size() < kEthernet) return;
    std::copy(bytes.begin(), bytes.end(), copy);
    const Frame frame(copy, bytes.size());
    const uint16_t type = read_be16(copy + 12);
    if (type == kTypeArp) answer_arp(frame);
    if (type == kTypeIpv4) answer_ping(frame);
}

uint32_t number_of(std::string_view text) {
    uint32_t number = 0;
    for (const char digit : text)
        number = number * 10 + static_cast<uint32_t>(digit - '0');
    return number;
}

void take_address(std::string_view text) {
    for (uint8_t& part : g_address) {
        const size_t end = std::min(text.find('.'), text.size());
        part = static_cast<uint8_t>(number_of(text.substr(0, end)));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

}  // namespace

void torii::guest::guest_main() {
    const uint32_t number = number_of(option("net"));
    if (!option("address").empty()) take_address(option("address"));
    g_card.emplace(received, nullptr);
    if (!g_card->open(number)) {
        const std::string_view reason = g_card->reason();
        return print("Network {}: {}\n", uint64_t{number},
                     reason.empty() ? "none, or nobody serves it." : reason);
    }
    print("Network {}: {}.{}.{}.{} answers.\n", uint64_t{number}, uint64_t{g_address[0]},
          uint64_t{g_address[1]}, uint64_t{g_address[2]}, uint64_t{g_address[3]});
    const uint64_t wanted = number_of(option("pings"));
    bool good = true;
    while (good && (wanted == 0 || g_pings < wanted))
        good = g_card->poll(kWaitNs);
    print("Network {}: {} pings answered, {}.\n", uint64_t{number}, g_pings,
          good ? "the card works" : "THE CARD'S BACK END BROKE ITS RINGS");
    print("Network {}: {}.\n", uint64_t{number}, g_card->close() ? "let go" : "NOT LET GO");
}
