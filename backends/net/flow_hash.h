#pragma once
// Which queue a frame for the guest goes to: by the hash that the guest asked for over the control ring
// (Toeplitz; public io/netif.h), or else by one of ours, so that a flow keeps its queue.

#include <torii/abi/io/netif.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/frame.h"

namespace torii::backend::net {

inline constexpr uint32_t kMaxHashKey = 40;  // enough for the longest input: 36 bytes and 4
inline constexpr uint32_t kMaxHashMapping = 128;
inline constexpr uint32_t kAllHashTypes =
    abi::kNetHashIpv4 | abi::kNetHashIpv4Tcp | abi::kNetHashIpv6 | abi::kNetHashIpv6Tcp;

// Bits of `input`, first one first, each choose 32 bits of the key from that place on. A key that is too
// short goes on with zeros.
uint32_t toeplitz_hash(std::span<const uint8_t> key, std::span<const uint8_t> input);

// What the guest set. A value: it is kept in the store for a successor.
struct HashSettings {
    abi::NetHashAlgorithm algorithm = abi::NetHashAlgorithm::kNone;
    uint32_t types = 0;
    std::array<uint8_t, kMaxHashKey> key{};
    std::vector<uint32_t> mapping;  // queue numbers; empty: the hash modulo the number of queues

    bool active() const { return algorithm == abi::NetHashAlgorithm::kToeplitz && types != 0; }
    auto operator<=>(const HashSettings&) const = default;
};
std::string to_text(const HashSettings& settings);
// Nothing valid in it: the default.
HashSettings parse_hash_settings(std::string_view text);

// Computes the hash that was asked for; absent when the frame is of no such type.
FlowHash hash_flow(const HashSettings& settings, std::span<const uint8_t> frame);

// Below `queues`, which is not zero. Mind that a mapping may name queues that do not exist.
uint32_t choose_queue(const HashSettings& settings, const FlowHash& hash, std::span<const uint8_t> frame,
                      uint32_t queues);

}  // namespace torii::backend::net
