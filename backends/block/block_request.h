#pragma once
// What a request asks for, and whether it may be done: nothing here has an effect. The request is a copy that
// the guest cannot change any more.

#include <torii/abi/io/blkif.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/ids.h"

namespace torii::backend {

// Segments that one indirect request may have: 1 MiB in whole pages.
inline constexpr unsigned kMaxIndirectSegments = 256;

// What requests are held against.
struct BlockRules {
    unsigned unit_shift = 9;    // the guest's sectors are 2^unit_shift bytes
    uint64_t bytes = 0;         // of the device
    uint32_t block_size = 512;  // offsets and lengths must be multiples of it; at least a sector
    bool read_only = false;
    bool can_discard = false;
};

// Part of a granted page that a request reads from or writes to; inside of the page.
struct PageSegment {
    GrantRef gref;
    uint16_t offset;  // in bytes, as length
    uint16_t length;
};

enum class BlockAction : uint8_t {
    kRead,
    kWrite,
    kFlush,
    kBarrier,  // all before it, and its own data, are durable before anything after it is begun
    kDiscard,
};

struct BlockAsk {
    BlockAction action = BlockAction::kRead;
    uint8_t echo = 0;     // the operation that the response names
    uint64_t id = 0;      // the frontend's
    uint64_t offset = 0;  // in bytes
    uint64_t length = 0;  // in bytes; of an indirect request only known with its segments
    std::vector<PageSegment> segments;
    // Of an indirect request: where its segments are to be read from. See add_segments().
    unsigned indirect_segments = 0;
    std::vector<GrantRef> indirect_pages;
};

// Fills `ask`, whose vectors keep their memory. kOkay when it may be done (an indirect one as far as can be
// said); `echo` and `id` are always filled in, for the response.
abi::BlockStatus parse_request(const abi::BlockRequest& request, const BlockRules& rules, BlockAsk& ask);

// The segments of an indirect request, copied from its pages: completes `ask`.
abi::BlockStatus add_segments(std::span<const abi::BlockSegment> segments, const BlockRules& rules,
                              BlockAsk& ask);

// The most bytes that the request can move, from what is known before its segments are.
uint64_t upper_bound(const BlockAsk& ask);

}  // namespace torii::backend
