#pragma once
// The PV block device's ring (public io/blkif.h), as 64-bit domains lay it out. Entries of a ring are
// BlockRequest on the way to the back end and BlockResponse on the way back (<torii/abi/io/ring.h>).
//
// Sectors are units of 512 bytes, whatever the node "sector-size" says, for a frontend that doesn't write
// "feature-large-sector-size"; for one that does, they are units of "sector-size".

#include <torii/abi/grant_table.h>

#include <cstddef>
#include <cstdint>

namespace torii::abi {

enum class BlockOperation : uint8_t {
    kRead = 0,
    kWrite = 1,
    kWriteBarrier = 2,
    kFlushDiskcache = 3,
    kReserved1 = 4,
    kDiscard = 5,
    kIndirect = 6,
};

enum class BlockStatus : int16_t {
    kOkay = 0,
    kError = -1,
    kNotSupported = -2,
};

inline constexpr unsigned kBlockMaxSegments = 11;
inline constexpr unsigned kBlockMaxIndirectPages = 8;
inline constexpr uint8_t kBlockDiscardSecure = 1u << 0;

// The node "info".
inline constexpr uint32_t kBlockInfoCdrom = 1u << 0;
inline constexpr uint32_t kBlockInfoRemovable = 1u << 1;
inline constexpr uint32_t kBlockInfoReadonly = 1u << 2;

// The node "protocol".
inline constexpr char kBlockProtocol64[] = "x86_64-abi";

// Part of one granted page: sectors of it, both inclusive.
struct BlockSegment {
    RawGrantRef gref;
    uint8_t first_sect;
    uint8_t last_sect;
    uint16_t padding;
};

struct BlockRequest {
    uint8_t operation;  // BlockOperation
    uint8_t nr_segments;
    uint16_t handle;
    uint32_t padding;
    uint64_t id;  // the frontend's, for the response
    uint64_t sector_number;
    BlockSegment seg[kBlockMaxSegments];
};

// What the same entry holds for kDiscard.
struct BlockDiscardRequest {
    uint8_t operation;
    uint8_t flag;
    uint16_t handle;
    uint32_t padding;
    uint64_t id;
    uint64_t sector_number;
    uint64_t nr_sectors;
};

// What the same entry holds for kIndirect: the segments are in granted pages of their own.
struct BlockIndirectRequest {
    uint8_t operation;
    uint8_t indirect_op;  // BlockOperation, of which only reads and writes make sense
    uint16_t nr_segments;
    uint32_t padding0;
    uint64_t id;
    uint64_t sector_number;
    uint16_t handle;
    uint16_t padding1;
    RawGrantRef indirect_grefs[kBlockMaxIndirectPages];
    uint32_t padding2;
};

inline constexpr unsigned kBlockSegmentsPerIndirectPage = 4096 / sizeof(BlockSegment);

struct BlockResponse {
    uint64_t id;
    uint8_t operation;  // of the request; what an indirect one does
    uint8_t padding0;
    int16_t status;  // BlockStatus
    uint32_t padding1;
};

}  // namespace torii::abi
