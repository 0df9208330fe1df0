#include "block/block_request.h"

#include <gtest/gtest.h>

#include <cstring>

namespace torii::backend {
namespace {

using abi::BlockOperation;
using abi::BlockStatus;

class Request : public testing::Test {
protected:
    Request() {
        request.operation = static_cast<uint8_t>(BlockOperation::kRead);
        request.id = 77;
        request.nr_segments = 1;
        request.seg[0] = {5, 0, 7, 0};
        rules.bytes = 100 * 512;
        rules.can_discard = true;
    }
    BlockStatus parse() { return parse_request(request, rules, ask); }
    void operation(BlockOperation which) { request.operation = static_cast<uint8_t>(which); }
    void discard(uint64_t sector, uint64_t sectors) {
        abi::BlockDiscardRequest discard{};
        discard.operation = static_cast<uint8_t>(BlockOperation::kDiscard);
        discard.id = 78;
        discard.sector_number = sector;
        discard.nr_sectors = sectors;
        std::memcpy(&request, &discard, sizeof(discard));
    }
    abi::BlockIndirectRequest indirect(BlockOperation what, uint16_t segments) {
        abi::BlockIndirectRequest indirect{};
        indirect.operation = static_cast<uint8_t>(BlockOperation::kIndirect);
        indirect.indirect_op = static_cast<uint8_t>(what);
        indirect.nr_segments = segments;
        indirect.id = 79;
        for (unsigned i = 0; i < 8; ++i)
            indirect.indirect_grefs[i] = 100 + i;
        return indirect;
    }
    void put(const abi::BlockIndirectRequest& indirect) {
        std::memcpy(&request, &indirect, sizeof(indirect));
    }

    abi::BlockRequest request{};
    BlockRules rules;
    BlockAsk ask;
};

TEST_F(Request, AReadInBytes) {
    request.sector_number = 92;
    ASSERT_EQ(parse(), BlockStatus::kOkay);
    EXPECT_EQ(ask.action, BlockAction::kRead);
    EXPECT_EQ(ask.id, 77u);
    EXPECT_EQ(ask.offset, 92u * 512);
    EXPECT_EQ(ask.length, 4096u);
    ASSERT_EQ(ask.segments.size(), 1u);
    EXPECT_EQ(ask.segments[0].length, 4096u);
    request.sector_number = 93;
    EXPECT_EQ(parse(), BlockStatus::kError);
    request.sector_number = UINT64_MAX - 3;
    EXPECT_EQ(parse(), BlockStatus::kError);
    request.sector_number = uint64_t{1} << 55;  // whose bytes would wrap to zero
    EXPECT_EQ(parse(), BlockStatus::kError);
}

TEST_F(Request, SegmentsStayInTheirPages) {
    for (const auto& [first, last] : {std::pair{3, 2}, {0, 8}, {7, 255}, {255, 255}}) {
        request.seg[0].first_sect = static_cast<uint8_t>(first);
        request.seg[0].last_sect = static_cast<uint8_t>(last);
        EXPECT_EQ(parse(), BlockStatus::kError) << first << "-" << last;
    }
    for (const unsigned count : {0u, 12u, 255u}) {
        request.seg[0] = {5, 0, 7, 0};
        request.nr_segments = static_cast<uint8_t>(count);
        EXPECT_EQ(parse(), BlockStatus::kError) << count;
    }
}

TEST_F(Request, UnknownOperationsAreNotSupported) {
    for (unsigned number = 0; number < 256; ++number) {
        request.operation = static_cast<uint8_t>(number);
        const BlockStatus status = parse();
        if (number == 4 || number > 6) {
            EXPECT_EQ(status, BlockStatus::kNotSupported) << number;
            EXPECT_EQ(ask.echo, number);
            EXPECT_EQ(ask.id, 77u);
        }
    }
}

TEST_F(Request, ReadOnlyTakesReadsAndFlushes) {
    rules.read_only = true;
    EXPECT_EQ(parse(), BlockStatus::kOkay);
    operation(BlockOperation::kWrite);
    EXPECT_EQ(parse(), BlockStatus::kError);
    operation(BlockOperation::kWriteBarrier);
    EXPECT_EQ(parse(), BlockStatus::kError);
    operation(BlockOperation::kFlushDiskcache);
    EXPECT_EQ(parse(), BlockStatus::kError) << "it has data";
    request.nr_segments = 0;
    EXPECT_EQ(parse(), BlockStatus::kOkay);
    EXPECT_EQ(ask.action, BlockAction::kFlush);
    put(indirect(BlockOperation::kWrite, 20));
    EXPECT_EQ(parse(), BlockStatus::kError);
    discard(0, 1);
    EXPECT_EQ(parse(), BlockStatus::kError);
}

TEST_F(Request, Discards) {
    discard(90, 10);
    ASSERT_EQ(parse(), BlockStatus::kOkay);
    EXPECT_EQ(ask.length, 5120u);
    EXPECT_EQ(upper_bound(ask), 0u);
    discard(90, 11);
    EXPECT_EQ(parse(), BlockStatus::kError);
    discard(1, UINT64_MAX);
    EXPECT_EQ(parse(), BlockStatus::kError);
    discard(1, 0);
    EXPECT_EQ(parse(), BlockStatus::kError);
    rules.can_discard = false;
    discard(0, 1);
    EXPECT_EQ(parse(), BlockStatus::kNotSupported);
}

TEST_F(Request, IndirectOnesAreCheckedTwice) {
    put(indirect(BlockOperation::kWrite, 12));
    ASSERT_EQ(parse(), BlockStatus::kOkay);
    EXPECT_EQ(ask.echo, static_cast<uint8_t>(BlockOperation::kWrite)) << "the response names what it did";
    EXPECT_EQ(ask.indirect_pages.size(), 1u);
    EXPECT_EQ(upper_bound(ask), 12u * 4096);
    std::vector<abi::BlockSegment> segments(12, {9, 0, 7, 0});
    EXPECT_EQ(add_segments(segments, rules, ask), BlockStatus::kOkay);
    EXPECT_EQ(ask.length, 12u * 4096);
    auto late = indirect(BlockOperation::kRead, 12);
    late.sector_number = 5;
    put(late);
    ASSERT_EQ(parse(), BlockStatus::kOkay);
    EXPECT_EQ(add_segments(segments, rules, ask), BlockStatus::kError) << "it ends beyond the disk";
    ASSERT_EQ(parse(), BlockStatus::kOkay);
    segments[11].last_sect = 8;
    EXPECT_EQ(add_segments(segments, rules, ask), BlockStatus::kError);
    for (const uint16_t count : {0, 257, 65535}) {
        put(indirect(BlockOperation::kRead, count));
        EXPECT_EQ(parse(), BlockStatus::kError) << count;
    }
    for (const auto inner :
         {BlockOperation::kIndirect, BlockOperation::kDiscard, BlockOperation::kFlushDiskcache}) {
        put(indirect(inner, 1));
        EXPECT_EQ(parse(), BlockStatus::kNotSupported);
    }
}

TEST_F(Request, LargeSectors) {
    rules.unit_shift = 12;
    rules.block_size = 4096;
    rules.bytes = 10 * 4096;
    request.seg[0] = {5, 0, 0, 0};
    request.sector_number = 9;
    ASSERT_EQ(parse(), BlockStatus::kOkay);
    EXPECT_EQ(ask.offset, 9u * 4096);
    request.seg[0].last_sect = 1;
    EXPECT_EQ(parse(), BlockStatus::kError);
    // The disk's blocks are larger than the guest's units.
    rules.unit_shift = 9;
    request.seg[0] = {5, 0, 7, 0};
    request.sector_number = 4;
    EXPECT_EQ(parse(), BlockStatus::kError);
    request.sector_number = 8;
    EXPECT_EQ(parse(), BlockStatus::kOkay);
}

}  // namespace
}  // namespace torii::backend
