#include "guest_abi/peer_headers.h"

// The block device's ring. Columns: this project's name, then the public header's. The rows are data.

namespace {

using namespace torii;

// clang-format off
constexpr Comparison kComparisons[] = {
    SAME_VALUE(BlockOperation::kRead, BLKIF_OP_READ),
    SAME_VALUE(BlockOperation::kWrite, BLKIF_OP_WRITE),
    SAME_VALUE(BlockOperation::kWriteBarrier, BLKIF_OP_WRITE_BARRIER),
    SAME_VALUE(BlockOperation::kFlushDiskcache, BLKIF_OP_FLUSH_DISKCACHE),
    SAME_VALUE(BlockOperation::kReserved1, BLKIF_OP_RESERVED_1),
    SAME_VALUE(BlockOperation::kDiscard, BLKIF_OP_DISCARD),
    SAME_VALUE(BlockOperation::kIndirect, BLKIF_OP_INDIRECT),
    SAME_VALUE(BlockStatus::kOkay, BLKIF_RSP_OKAY),
    SAME_VALUE(BlockStatus::kError, BLKIF_RSP_ERROR),
    SAME_VALUE(BlockStatus::kNotSupported, BLKIF_RSP_EOPNOTSUPP),
    SAME_VALUE(kBlockMaxSegments, BLKIF_MAX_SEGMENTS_PER_REQUEST),
    SAME_VALUE(kBlockMaxIndirectPages, BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST),
    SAME_VALUE(kBlockDiscardSecure, BLKIF_DISCARD_SECURE),
    SAME_VALUE(kBlockInfoCdrom, VDISK_CDROM),
    SAME_VALUE(kBlockInfoRemovable, VDISK_REMOVABLE),
    SAME_VALUE(kBlockInfoReadonly, VDISK_READONLY),
    SAME_VALUE(kBlockSegmentsPerIndirectPage, 4096 / sizeof(blkif_request_segment)),

    SAME_SIZE(BlockSegment, blkif_request_segment),
    SAME_FIELD(BlockSegment, blkif_request_segment, gref),
    SAME_FIELD(BlockSegment, blkif_request_segment, first_sect),
    SAME_FIELD(BlockSegment, blkif_request_segment, last_sect),

    SAME_SIZE(BlockRequest, blkif_request),
    SAME_SIZE(BlockRequest, blkif_request_t),
    SAME_FIELD(BlockRequest, blkif_request, operation),
    SAME_FIELD(BlockRequest, blkif_request, nr_segments),
    SAME_FIELD(BlockRequest, blkif_request, handle),
    SAME_FIELD(BlockRequest, blkif_request, id),
    SAME_FIELD(BlockRequest, blkif_request, sector_number),
    SAME_FIELD(BlockRequest, blkif_request, seg),

    SAME_SIZE(BlockDiscardRequest, blkif_request_discard),
    SAME_SIZE(BlockDiscardRequest, blkif_request_discard_t),
    SAME_FIELD(BlockDiscardRequest, blkif_request_discard, operation),
    SAME_FIELD(BlockDiscardRequest, blkif_request_discard, flag),
    SAME_FIELD(BlockDiscardRequest, blkif_request_discard, handle),
    SAME_FIELD(BlockDiscardRequest, blkif_request_discard, id),
    SAME_FIELD(BlockDiscardRequest, blkif_request_discard, sector_number),
    SAME_FIELD(BlockDiscardRequest, blkif_request_discard, nr_sectors),

    SAME_SIZE(BlockIndirectRequest, blkif_request_indirect),
    SAME_SIZE(BlockIndirectRequest, blkif_request_indirect_t),
    SAME_FIELD(BlockIndirectRequest, blkif_request_indirect, operation),
    SAME_FIELD(BlockIndirectRequest, blkif_request_indirect, indirect_op),
    SAME_FIELD(BlockIndirectRequest, blkif_request_indirect, nr_segments),
    SAME_FIELD(BlockIndirectRequest, blkif_request_indirect, id),
    SAME_FIELD(BlockIndirectRequest, blkif_request_indirect, sector_number),
    SAME_FIELD(BlockIndirectRequest, blkif_request_indirect, handle),
    SAME_FIELD(BlockIndirectRequest, blkif_request_indirect, indirect_grefs),

    SAME_SIZE(BlockResponse, blkif_response),
    SAME_SIZE(BlockResponse, blkif_response_t),
    SAME_FIELD(BlockResponse, blkif_response, id),
    SAME_FIELD(BlockResponse, blkif_response, operation),
    SAME_FIELD(BlockResponse, blkif_response, status),
};
// clang-format on

TEST(BlockRing, AgreesWithPublicHeaders) {
    expect_equal(kComparisons);
    // 32 requests fit into a ring of one page.
    EXPECT_EQ(torii::abi::ring_entries(4096, sizeof(torii::abi::BlockRequest)),
              __CONST_RING_SIZE(blkif, 4096));
}

}  // namespace
