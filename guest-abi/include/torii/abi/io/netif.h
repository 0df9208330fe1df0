#pragma once
// The network device (public io/netif.h): a transmit ring, a receive ring and, if wanted, a control ring,
// each of one page.
//
// A packet to the back end: a TxRequest whose `size` is that of the whole packet, then ExtraInfo entries if
// its flags say so, then one TxRequest per further fragment with that fragment's own size. Each entry gets a
// TxResponse, those for extras with NetResponse::kNull.
// A packet to the front end: an RxResponse whose `status` is the size of the first fragment, then extras,
// then one RxResponse per further fragment. Each lies in the slot of its own RxRequest: front ends go by the
// slot.

#include <torii/abi/grant_table.h>

#include <cstdint>

namespace torii::abi {

// Slots, without extras, that every back end takes for one packet.
inline constexpr uint32_t kNetMinimumSlots = 18;
inline constexpr uint32_t kNetMaxTxSize = 0xFFFF;

// TxRequest::flags
inline constexpr uint16_t kTxChecksumBlank = 1u << 0;
inline constexpr uint16_t kTxDataValidated = 1u << 1;
inline constexpr uint16_t kTxMoreData = 1u << 2;
inline constexpr uint16_t kTxExtraInfo = 1u << 3;

struct TxRequest {
    RawGrantRef gref;
    uint16_t offset;
    uint16_t flags;
    uint16_t id;
    uint16_t size;
};

// Also a receive status below zero.
enum class NetResponse : int16_t {
    kDropped = -2,
    kError = -1,
    kOkay = 0,
    kNull = 1,  // the entry was an extra
};

struct TxResponse {
    uint16_t id;
    int16_t status;
};

// RxResponse::flags
inline constexpr uint16_t kRxDataValidated = 1u << 0;
inline constexpr uint16_t kRxChecksumBlank = 1u << 1;
inline constexpr uint16_t kRxMoreData = 1u << 2;
inline constexpr uint16_t kRxExtraInfo = 1u << 3;
inline constexpr uint16_t kRxGsoPrefix = 1u << 4;  // of front ends of old; not used here

struct RxRequest {
    uint16_t id;
    uint16_t pad;
    RawGrantRef gref;
};

struct RxResponse {
    uint16_t id;
    uint16_t offset;
    uint16_t flags;
    int16_t status;  // size of the fragment, or a NetResponse below zero
};

enum class NetExtraType : uint8_t {
    kNone = 0,
    kGso = 1,
    kMulticastAdd = 2,
    kMulticastDelete = 3,
    kHash = 4,
};
inline constexpr uint8_t kNetExtraTypeCount = 5;
inline constexpr uint8_t kNetExtraMore = 1u << 0;  // NetExtraInfo::flags

enum class NetGsoType : uint8_t {
    kNone = 0,
    kTcpV4 = 1,
    kTcpV6 = 2,
};

struct NetExtraGso {
    uint16_t size;  // payload bytes per segment
    NetGsoType type;
    uint8_t pad;
    uint16_t features;
};

struct NetExtraMulticast {
    uint8_t addr[6];
};

struct NetExtraHash {
    uint8_t type;  // bit number of a kNetHash... type
    uint8_t algorithm;
    uint8_t value[4];  // least significant byte first
};

// Takes the place of a TxRequest (whose last four bytes are then padding) or of an RxResponse.
struct NetExtraInfo {
    NetExtraType type;
    uint8_t flags;
    union {
        NetExtraGso gso;
        NetExtraMulticast mcast;
        NetExtraHash hash;
        uint16_t pad[3];
    } u;
};

enum class NetHashAlgorithm : uint32_t {
    kNone = 0,
    kToeplitz = 1,
};

inline constexpr uint32_t kNetHashIpv4 = 1u << 0;
inline constexpr uint32_t kNetHashIpv4Tcp = 1u << 1;
inline constexpr uint32_t kNetHashIpv6 = 1u << 2;
inline constexpr uint32_t kNetHashIpv6Tcp = 1u << 3;

// What each of NetControlRequest::data means is with its handler in the back end.
enum class NetControlType : uint16_t {
    kInvalid = 0,
    kGetHashFlags = 1,
    kSetHashFlags = 2,
    kSetHashKey = 3,
    kGetHashMappingSize = 4,
    kSetHashMappingSize = 5,
    kSetHashMapping = 6,
    kSetHashAlgorithm = 7,
    kGetGrefMappingSize = 8,
    kAddGrefMapping = 9,
    kDelGrefMapping = 10,
};

struct NetControlRequest {
    uint16_t id;
    uint16_t type;
    uint32_t data[3];
};

enum class NetControlStatus : uint32_t {
    kSuccess = 0,
    kNotSupported = 1,
    kInvalidParameter = 2,
    kBufferOverflow = 3,
};

struct NetControlResponse {
    uint16_t id;
    uint16_t type;
    uint32_t status;
    uint32_t data;
};

// Grants that a back end keeps mapped (kAddGrefMapping).
inline constexpr uint16_t kNetGrefReadonly = 1u << 0;
struct NetGref {
    RawGrantRef ref;
    uint16_t flags;
    uint16_t status;
};

}  // namespace torii::abi
