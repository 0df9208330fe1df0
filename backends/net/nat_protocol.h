#pragma once
// What toriid and a NAT helper say to each other, over a Unix socket of type SOCK_SEQPACKET: one message, one
// packet, with a header in the byte order of the machine (both ends are on it). Neither believes the other's
// lengths. The helper serves one connection at a time; a new one takes the place of the one before.
//
//   daemon                         helper
//   Hello{version}          ->
//                           <-     Hello{version, configured}
//   Configure{settings}     ->            once, by the first daemon; later ones are ignored, connections go
//   on Frame                   <->    Frame AddForward{forward}     ->
//                           <-     ForwardDone{sequence, error text}
//   RemoveForward{forward}  ->
//                           <-     ForwardDone
//   End                     ->            the helper ends

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "net/net_config.h"

namespace torii::backend::net {

inline constexpr uint32_t kNatVersion = 1;

enum class NatMessage : uint16_t {
    kHello = 1,
    kConfigure = 2,
    kFrame = 3,
    kAddForward = 4,
    kRemoveForward = 5,
    kForwardDone = 6,
    kEnd = 7,
};

struct NatHeader {
    NatMessage type;
    uint16_t reserved = 0;
    uint32_t sequence = 0;  // of a request; its answer has the same
};

struct NatHello {
    uint32_t version;
    uint32_t configured;  // by the helper: not 0 when it has its settings already
};

struct NatSettings {
    uint32_t mtu;
    uint32_t host_loopback;  // not 0: 10.0.2.2 reaches 127.0.0.1 of the host
};

struct NatForward {
    uint32_t udp;
    uint8_t host[4];
    uint8_t guest[4];
    uint16_t host_port;
    uint16_t guest_port;

    static NatForward of(const PortForward& forward) {
        NatForward wire{.udp = forward.udp ? 1u : 0u,
                        .host = {},
                        .guest = {},
                        .host_port = forward.host_port,
                        .guest_port = forward.guest_port};
        std::memcpy(wire.host, forward.host.bytes.data(), 4);
        std::memcpy(wire.guest, forward.guest.bytes.data(), 4);
        return wire;
    }
    PortForward forward() const {
        return {udp != 0, read_address<Ipv4Address>(host), host_port, read_address<Ipv4Address>(guest),
                guest_port};
    }
};

inline constexpr size_t kMostForwardError = 512;
inline constexpr size_t kMostNatMessage = sizeof(NatHeader) + 65535;

template <typename Body>
std::vector<uint8_t> nat_message(NatMessage type, uint32_t sequence, const Body& body) {
    std::vector<uint8_t> message(sizeof(NatHeader) + sizeof(Body));
    const NatHeader header{.type = type, .reserved = 0, .sequence = sequence};
    std::memcpy(message.data(), &header, sizeof(header));
    std::memcpy(message.data() + sizeof(header), &body, sizeof(body));
    return message;
}

// The body of a message, copied out; nothing when it is too short.
template <typename Body>
std::optional<Body> nat_body(std::span<const uint8_t> message) {
    if (message.size() < sizeof(NatHeader) + sizeof(Body)) return std::nullopt;
    Body body;
    std::memcpy(&body, message.data() + sizeof(NatHeader), sizeof(body));
    return body;
}

}  // namespace torii::backend::net
