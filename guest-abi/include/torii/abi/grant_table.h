#pragma once
// Grants (public grant_table.h): rdi = GrantTableOp, rsi = guest pointer to an array, rdx = its length.

#include <torii/abi/basic_types.h>
#include <torii/abi/domid.h>

#include <cstdint>

namespace torii::abi {

using RawGrantRef = uint32_t;
using RawGrantHandle = uint32_t;

struct GrantEntryV1 {
    uint16_t flags;
    RawDomId domid;
    uint32_t frame;
};

struct GrantEntryHeader {
    uint16_t flags;
    RawDomId domid;
};

struct GrantEntryV2FullPage {
    GrantEntryHeader header;
    uint32_t pad0;
    uint64_t frame;
};

struct GrantEntryV2SubPage {
    GrantEntryHeader header;
    uint16_t page_off;
    uint16_t length;
    uint64_t frame;
};

struct GrantEntryV2Transitive {
    GrantEntryHeader header;
    RawDomId trans_domid;
    uint16_t pad0;
    RawGrantRef gref;
};

union GrantEntryV2 {
    GrantEntryHeader header;
    GrantEntryV2FullPage full_page;
    GrantEntryV2SubPage sub_page;
    GrantEntryV2Transitive transitive;
    uint32_t words[4];
};

inline constexpr uint32_t kGrantReservedEntries = 8;
inline constexpr RawGrantRef kGrantReservedConsole = 0;
inline constexpr RawGrantRef kGrantReservedXenstore = 1;

// GrantEntryV1::flags. The low two bits say what the entry permits.
inline constexpr uint16_t kGtfInvalid = 0;
inline constexpr uint16_t kGtfPermitAccess = 1;
inline constexpr uint16_t kGtfAcceptTransfer = 2;
inline constexpr uint16_t kGtfTransitive = 3;
inline constexpr uint16_t kGtfTypeMask = 3;
inline constexpr uint16_t kGtfReadonly = 1u << 2;
inline constexpr uint16_t kGtfReading = 1u << 3;  // set by the hypervisor while mapped or copied from
inline constexpr uint16_t kGtfWriting = 1u << 4;  // set by the hypervisor while mapped writable
inline constexpr uint16_t kGtfPwt = 1u << 5;
inline constexpr uint16_t kGtfPcd = 1u << 6;
inline constexpr uint16_t kGtfPat = 1u << 7;
inline constexpr uint16_t kGtfSubPage = 1u << 8;
inline constexpr uint16_t kGtfTransferCommitted = 1u << 2;
inline constexpr uint16_t kGtfTransferCompleted = 1u << 3;

enum class GrantTableOp : uint32_t {
    kMapGrantRef = 0,
    kUnmapGrantRef = 1,
    kSetupTable = 2,
    kDumpTable = 3,
    kTransfer = 4,
    kCopy = 5,
    kQuerySize = 6,
    kUnmapAndReplace = 7,
    kSetVersion = 8,
    kGetStatusFrames = 9,
    kGetVersion = 10,
    kSwapGrantRef = 11,
    kCacheFlush = 12,
};

// Per-element results.
enum class GrantStatus : int16_t {
    kOkay = 0,
    kGeneralError = -1,
    kBadDomain = -2,
    kBadGntref = -3,
    kBadHandle = -4,
    kBadVirtAddr = -5,
    kBadDevAddr = -6,
    kNoDeviceSpace = -7,
    kPermissionDenied = -8,
    kBadPage = -9,
    kBadCopyArg = -10,
    kAddressTooBig = -11,
    kEagain = -12,
    kNoSpace = -13,
};

// GrantMap::flags
inline constexpr uint32_t kGrantMapDevice = 1u << 0;
inline constexpr uint32_t kGrantMapHost = 1u << 1;
inline constexpr uint32_t kGrantMapReadonly = 1u << 2;
inline constexpr uint32_t kGrantMapApplication = 1u << 3;
inline constexpr uint32_t kGrantMapContainsPte = 1u << 4;  // host_addr is the machine address of an L1 entry
inline constexpr unsigned kGrantMapAvailShift = 16;
inline constexpr uint32_t kGrantMapAvailMask = 0xFFFF'FFFFu << kGrantMapAvailShift;

struct GrantMap {
    uint64_t host_addr;     // in
    uint32_t flags;         // in
    RawGrantRef ref;        // in
    RawDomId dom;           // in
    int16_t status;         // out: GrantStatus
    RawGrantHandle handle;  // out
    uint64_t dev_bus_addr;  // out: machine address, for kGrantMapDevice
};

struct GrantUnmap {
    uint64_t host_addr;     // in: where kGrantMapHost put it, or zero
    uint64_t dev_bus_addr;  // in: as returned for kGrantMapDevice, or zero
    RawGrantHandle handle;  // in
    int16_t status;         // out
    uint16_t padding;
};

struct GrantSetupTable {
    RawDomId dom;  // in
    uint16_t padding0;
    uint32_t nr_frames;  // in
    int16_t status;      // out
    uint16_t padding1[3];
    GuestPtr64 frame_list;  // out: uint64_t[nr_frames]
};

struct GrantDumpTable {
    RawDomId dom;
    int16_t status;
};

struct GrantTransfer {
    uint64_t mfn;  // in: frame the caller gives away
    RawDomId domid;
    uint16_t padding0;
    RawGrantRef ref;
    int16_t status;
    uint16_t padding1[3];
};

struct GrantCopyPointer {
    union {
        RawGrantRef ref;
        uint64_t gmfn;
    } u;
    RawDomId domid;
    uint16_t offset;
    uint32_t padding;
};

// GrantCopy::flags: which end is a grant; the other end is a frame of the caller.
inline constexpr uint16_t kGrantCopySourceGref = 1u << 0;
inline constexpr uint16_t kGrantCopyDestGref = 1u << 1;

struct GrantCopy {
    GrantCopyPointer source;
    GrantCopyPointer dest;
    uint16_t len;
    uint16_t flags;
    int16_t status;
    uint16_t padding;
};

struct GrantQuerySize {
    RawDomId dom;  // in
    uint16_t padding0;
    uint32_t nr_frames;      // out
    uint32_t max_nr_frames;  // out
    int16_t status;          // out
    uint16_t padding1;
};

struct GrantUnmapAndReplace {
    uint64_t host_addr;  // in: the grant's mapping
    uint64_t new_addr;   // in: its entry moves to host_addr and is cleared here
    RawGrantHandle handle;
    int16_t status;
    uint16_t padding;
};

struct GrantSetVersion {
    uint32_t version;
};

struct GrantGetStatusFrames {
    uint32_t nr_frames;
    RawDomId dom;
    int16_t status;
    GuestPtr64 frame_list;
};

struct GrantGetVersion {
    RawDomId dom;
    uint16_t pad;
    uint32_t version;
};

struct GrantSwapRef {
    RawGrantRef ref_a;
    RawGrantRef ref_b;
    int16_t status;
    uint16_t padding;
};

struct GrantCacheFlush {
    union {
        uint64_t dev_bus_addr;
        RawGrantRef ref;
    } a;
    uint16_t offset;
    uint16_t length;
    uint32_t op;
};
inline constexpr uint32_t kGrantCacheClean = 1u << 0;
inline constexpr uint32_t kGrantCacheInvalidate = 1u << 1;
inline constexpr uint32_t kGrantCacheSourceGref = 1u << 31;

}  // namespace torii::abi
