// Memory that data passes through: what is held for the loop, what is not, and the limit.

#include "block/bounce_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "common/guest_memory.h"
#include "unit/backends/kit/fake_io_loop.h"

namespace torii::backend::test {
namespace {

bool holds(const FakeIoLoop& loop, std::span<std::byte> piece) {
    const std::span<std::byte> held = loop.held.front();
    return piece.data() >= held.data() && piece.data() + piece.size() <= held.data() + held.size();
}

constexpr size_t kLimit = size_t{4} << 20;

TEST(BounceMemory, WhatIsHeldIsUsedFirstAndLetGoInTheEnd) {
    FakeIoLoop loop;
    {
        BounceMemory memory(loop, kLimit);
        ASSERT_EQ(loop.held.size(), 1u);
        EXPECT_EQ(loop.held.front().size(), BounceMemory::kHeld);
        std::vector<BounceMemory::Piece> pieces;
        for (unsigned i = 0; i < 8; ++i) {
            pieces.push_back(memory.take(128 << 10));
            EXPECT_TRUE(holds(loop, pieces.back().bytes())) << i;
        }
        const BounceMemory::Piece other = memory.take(1);
        ASSERT_EQ(other.bytes().size(), kGuestPageSize);
        EXPECT_FALSE(holds(loop, other.bytes()));
        pieces[3].reset();
        pieces[4].reset();
        // The two do not make one of twice the size, which would begin between its multiples.
        EXPECT_FALSE(holds(loop, memory.take(256 << 10).bytes()));
        EXPECT_TRUE(holds(loop, memory.take(128 << 10).bytes()));
        pieces.clear();
        EXPECT_TRUE(holds(loop, memory.take(BounceMemory::kHeld).bytes()));
    }
    EXPECT_TRUE(loop.held.empty());
}

TEST(BounceMemory, NoTwoPiecesMeetAndTheLimitHolds) {
    FakeIoLoop loop;
    BounceMemory memory(loop, kLimit);
    std::mt19937 random(7);
    std::vector<BounceMemory::Piece> pieces;
    size_t taken = 0;
    bool refused = false;
    for (unsigned i = 0; i < 20'000; ++i) {
        if (!pieces.empty() && random() % 2 == 0) {
            const size_t which = random() % pieces.size();
            taken -= pieces[which].bytes().size();
            // Nobody else wrote into it.
            const std::byte mark = pieces[which].bytes().front();
            EXPECT_EQ(pieces[which].bytes().back(), mark);
            std::swap(pieces[which], pieces.back());
            pieces.pop_back();
            continue;
        }
        const size_t length = random() % ((1u << 12 << random() % 9) + 1);
        BounceMemory::Piece piece = memory.take(length);
        if (piece.empty()) {
            refused = true;
            continue;
        }
        const std::span<std::byte> bytes = piece.bytes();
        ASSERT_GE(bytes.size(), std::max<size_t>(length, 1));
        ASSERT_EQ(reinterpret_cast<uintptr_t>(bytes.data()) % kGuestPageSize, 0u);
        std::fill(bytes.begin(), bytes.end(), static_cast<std::byte>(i % 251));
        taken += bytes.size();
        ASSERT_LE(taken, kLimit);
        pieces.push_back(std::move(piece));
    }
    pieces.clear();
    EXPECT_FALSE(refused && memory.take(BounceMemory::kHeld).empty());
    while (true) {
        BounceMemory::Piece piece = memory.take(512 << 10);
        if (piece.empty()) break;
        pieces.push_back(std::move(piece));
    }
    EXPECT_EQ(pieces.size(), kLimit / (512 << 10));
}

}  // namespace
}  // namespace torii::backend::test
