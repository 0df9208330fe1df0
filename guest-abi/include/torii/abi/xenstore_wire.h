#pragma once
// The xenstore protocol (public io/xs_wire.h): a header, then `len` bytes; strings end with a zero byte
// unless noted. Domains speak it over the two byte rings of XenstoreRing, processes in the control domain
// over a Unix socket.

#include <cstddef>
#include <cstdint>

namespace torii::abi {

enum class XenstoreMessage : uint32_t {
    kControl = 0,
    kDirectory = 1,
    kRead = 2,
    kGetPerms = 3,
    kWatch = 4,
    kUnwatch = 5,
    kTransactionStart = 6,
    kTransactionEnd = 7,
    kIntroduce = 8,
    kRelease = 9,
    kGetDomainPath = 10,
    kWrite = 11,
    kMkdir = 12,
    kRm = 13,
    kSetPerms = 14,
    kWatchEvent = 15,
    kError = 16,
    kIsDomainIntroduced = 17,
    kResume = 18,
    kSetTarget = 19,
    // 20 was withdrawn and stays unused.
    kResetWatches = 21,
    kDirectoryPart = 22,
    kInvalid = 0xFFFF,
};
inline constexpr uint32_t kXenstoreMessageCount = 23;

struct XenstoreHeader {
    uint32_t type;    // XenstoreMessage
    uint32_t req_id;  // chosen by the requester, repeated in the reply
    uint32_t tx_id;   // transaction, zero for none
    uint32_t len;     // bytes that follow, at most kXenstorePayloadMax
};

inline constexpr uint32_t kXenstorePayloadMax = 4096;
inline constexpr uint32_t kXenstoreAbsolutePathMax = 3072;
inline constexpr uint32_t kXenstoreRelativePathMax = 2048;

inline constexpr uint32_t kXenstoreRingSize = 1024;

// Indices run freely over 32 bits; an index modulo kXenstoreRingSize is an offset.
struct XenstoreRing {
    uint8_t req[kXenstoreRingSize];
    uint8_t rsp[kXenstoreRingSize];
    uint32_t req_cons;
    uint32_t req_prod;
    uint32_t rsp_cons;
    uint32_t rsp_prod;
    uint32_t server_features;
    uint32_t connection;
    uint32_t error;
};

inline constexpr uint32_t kXenstoreFeatureReconnection = 1;
inline constexpr uint32_t kXenstoreFeatureError = 2;
inline constexpr uint32_t kXenstoreConnected = 0;
inline constexpr uint32_t kXenstoreReconnect = 1;
inline constexpr uint32_t kXenstoreErrorNone = 0;
inline constexpr uint32_t kXenstoreErrorComm = 1;
inline constexpr uint32_t kXenstoreErrorRingIndex = 2;
inline constexpr uint32_t kXenstoreErrorProtocol = 3;

// The words that an error reply may hold.
inline constexpr const char* kXenstoreErrorNames[] = {
    "EINVAL",    "EACCES", "EEXIST", "EISDIR", "ENOENT", "ENOMEM",  "ENOSPC", "EIO",
    "ENOTEMPTY", "ENOSYS", "EROFS",  "EBUSY",  "EAGAIN", "EISCONN", "E2BIG",  "EPERM",
};

// The two strings of a watch event, in order.
inline constexpr uint32_t kXenstoreWatchPath = 0;
inline constexpr uint32_t kXenstoreWatchToken = 1;

}  // namespace torii::abi
