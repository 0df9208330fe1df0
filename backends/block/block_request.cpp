#include "block/block_request.h"

#include <cstring>

namespace torii::backend {
namespace {

using abi::BlockOperation;
using abi::BlockStatus;

constexpr unsigned kPageShift = 12;

// The place on the device of `sectors` units from `sector` on: false when any of it lies beyond the end.
bool place(uint64_t sector, uint64_t sectors, const BlockRules& rules, BlockAsk& ask) {
    const uint64_t all = rules.bytes >> rules.unit_shift;
    if (sector > all || sectors > all - sector) return false;
    ask.offset = sector << rules.unit_shift;
    ask.length = sectors << rules.unit_shift;
    return ask.offset % rules.block_size == 0 && ask.length % rules.block_size == 0;
}

// How many sectors the segments have in all; nothing when one is impossible.
std::optional<uint64_t> take_segments(std::span<const abi::BlockSegment> segments, const BlockRules& rules,
                                      BlockAsk& ask) {
    const unsigned sectors_per_page = 1u << (kPageShift - rules.unit_shift);
    uint64_t sectors = 0;
    for (const abi::BlockSegment& segment : segments) {
        if (segment.first_sect > segment.last_sect || segment.last_sect >= sectors_per_page) {
            return std::nullopt;
        }
        const unsigned count = segment.last_sect - segment.first_sect + 1u;
        ask.segments.push_back({GrantRef(segment.gref),
                                static_cast<uint16_t>(segment.first_sect << rules.unit_shift),
                                static_cast<uint16_t>(count << rules.unit_shift)});
        sectors += count;
    }
    return sectors;
}

// The action of an operation that moves data; nothing for others.
std::optional<BlockAction> data_action(uint8_t operation) {
    switch (BlockOperation{operation}) {
        case BlockOperation::kRead:
            return BlockAction::kRead;
        case BlockOperation::kWrite:
            return BlockAction::kWrite;
        case BlockOperation::kWriteBarrier:
            return BlockAction::kBarrier;
        default:
            return std::nullopt;
    }
}

BlockStatus parse_indirect(const abi::BlockRequest& raw, const BlockRules& rules, BlockAsk& ask) {
    abi::BlockIndirectRequest request;
    std::memcpy(&request, &raw, sizeof(request));
    ask.echo = request.indirect_op;
    ask.id = request.id;
    const auto action = data_action(request.indirect_op);
    if (!action) return BlockStatus::kNotSupported;
    if (request.nr_segments == 0 || request.nr_segments > kMaxIndirectSegments) return BlockStatus::kError;
    ask.action = *action;
    if (ask.action != BlockAction::kRead && rules.read_only) return BlockStatus::kError;
    // The least that it can be, so that a place far outside is refused before anything is read.
    if (!place(request.sector_number, 0, rules, ask)) return BlockStatus::kError;
    ask.indirect_segments = request.nr_segments;
    const unsigned pages =
        (request.nr_segments + abi::kBlockSegmentsPerIndirectPage - 1) / abi::kBlockSegmentsPerIndirectPage;
    for (unsigned i = 0; i < pages; ++i)
        ask.indirect_pages.push_back(GrantRef(request.indirect_grefs[i]));
    return BlockStatus::kOkay;
}

BlockStatus parse_discard(const abi::BlockRequest& raw, const BlockRules& rules, BlockAsk& ask) {
    abi::BlockDiscardRequest request;
    std::memcpy(&request, &raw, sizeof(request));
    ask.action = BlockAction::kDiscard;
    // A secure discard is not offered, so the flag says nothing (public io/blkif.h).
    if (!rules.can_discard) return BlockStatus::kNotSupported;
    if (rules.read_only || request.nr_sectors == 0) return BlockStatus::kError;
    return place(request.sector_number, request.nr_sectors, rules, ask) ? BlockStatus::kOkay
                                                                        : BlockStatus::kError;
}

BlockStatus parse_data(const abi::BlockRequest& request, BlockAction action, const BlockRules& rules,
                       BlockAsk& ask) {
    ask.action = action;
    if (action != BlockAction::kRead && rules.read_only) return BlockStatus::kError;
    if (request.nr_segments > abi::kBlockMaxSegments) return BlockStatus::kError;
    const bool may_be_empty = action == BlockAction::kBarrier;
    if (request.nr_segments == 0 && !may_be_empty) return BlockStatus::kError;
    const auto sectors = take_segments({request.seg, request.nr_segments}, rules, ask);
    if (!sectors) return BlockStatus::kError;
    // Nobody cares for the place of nothing.
    if (*sectors == 0) return BlockStatus::kOkay;
    return place(request.sector_number, *sectors, rules, ask) ? BlockStatus::kOkay : BlockStatus::kError;
}

}  // namespace

BlockStatus parse_request(const abi::BlockRequest& request, const BlockRules& rules, BlockAsk& ask) {
    ask.action = BlockAction::kRead;
    ask.echo = request.operation;
    ask.id = request.id;
    ask.offset = 0;
    ask.length = 0;
    ask.segments.clear();
    ask.indirect_segments = 0;
    ask.indirect_pages.clear();
    switch (BlockOperation{request.operation}) {
        case BlockOperation::kIndirect:
            return parse_indirect(request, rules, ask);
        case BlockOperation::kDiscard:
            return parse_discard(request, rules, ask);
        case BlockOperation::kFlushDiskcache:
            // One with data makes what was written before durable, then writes; a barrier does more.
            if (request.nr_segments != 0) return parse_data(request, BlockAction::kBarrier, rules, ask);
            ask.action = BlockAction::kFlush;
            return BlockStatus::kOkay;
        default:
            break;
    }
    const auto action = data_action(request.operation);
    return action ? parse_data(request, *action, rules, ask) : BlockStatus::kNotSupported;
}

BlockStatus add_segments(std::span<const abi::BlockSegment> segments, const BlockRules& rules,
                         BlockAsk& ask) {
    const uint64_t sector = ask.offset >> rules.unit_shift;
    const auto sectors = take_segments(segments, rules, ask);
    return sectors && place(sector, *sectors, rules, ask) ? BlockStatus::kOkay : BlockStatus::kError;
}

uint64_t upper_bound(const BlockAsk& ask) {
    if (ask.action == BlockAction::kDiscard) return 0;
    return ask.indirect_segments != 0 ? uint64_t{ask.indirect_segments} << kPageShift : ask.length;
}

}  // namespace torii::backend
