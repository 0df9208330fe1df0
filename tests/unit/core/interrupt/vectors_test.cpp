#include "core/interrupt/vectors.h"

#include <gtest/gtest.h>

#include <set>

#include "fakes/fake_machine.h"

namespace torii::test {
namespace {

constexpr unsigned kVectors = VectorSpace::kEnd - VectorSpace::kFirst;

class Vectors : public testing::Test {
protected:
    void SetUp() override { ASSERT_TRUE(vectors.start(2).ok()); }
    VectorSpace vectors;
};

TEST_F(Vectors, EachInterruptHasAVectorOfItsOwn) {
    std::set<unsigned> seen;
    for (uint32_t id = 1; id <= kVectors; ++id) {
        const uint8_t vector = vectors.claim(CpuId(id % 2), id, 1).value();
        EXPECT_EQ(vectors.holder(CpuId(id % 2), vector), id);
        EXPECT_EQ(vectors.holder(CpuId((id + 1) % 2), vector), VectorSpace::kNobody);
        seen.insert(vector);
    }
    EXPECT_EQ(seen.size(), kVectors) << "so each finds its own free on the other CPU";
}

TEST_F(Vectors, ACpuHasOnlySoMany) {
    for (uint32_t id = 1; id <= kVectors; ++id)
        ASSERT_TRUE(vectors.claim(CpuId(0), id, 1).ok());
    EXPECT_EQ(vectors.claim(CpuId(0), 999, 1).error(), Errno::kENOSPC);
    EXPECT_TRUE(vectors.claim(CpuId(1), 999, 1).ok());
}

TEST_F(Vectors, SeveralTogetherAreAligned) {
    ASSERT_TRUE(vectors.claim(CpuId(0), 1, 1).ok());
    for (const unsigned count : {2u, 4u, 8u, 16u, 32u}) {
        const uint8_t first = vectors.claim(CpuId(0), 100 * count, count).value();
        EXPECT_EQ(first % count, 0u);
        for (unsigned i = 0; i < count; ++i)
            EXPECT_EQ(vectors.holder(CpuId(0), first + i), 100 * count + i);
    }
    EXPECT_EQ(vectors.claim(CpuId(0), 1, 3).error(), Errno::kEINVAL);
    EXPECT_EQ(vectors.claim(CpuId(0), 1, 64).error(), Errno::kEINVAL);
    EXPECT_EQ(vectors.claim(CpuId(2), 1, 1).error(), Errno::kEINVAL);
}

TEST_F(Vectors, WhatWasLeftLingers) {
    const uint8_t vector = vectors.claim(CpuId(0), 7, 1).value();
    ASSERT_TRUE(vectors.claim_at(CpuId(1), vector, 7));
    vectors.leave(CpuId(0), vector);
    EXPECT_EQ(vectors.holder(CpuId(0), vector), 7u) << "what was sent before the move still arrives";
    EXPECT_FALSE(vectors.claim_at(CpuId(0), vector, 8));
    EXPECT_TRUE(vectors.claim_at(CpuId(0), vector, 7)) << "but itself may come back";
    vectors.leave(CpuId(0), vector);
    fakes::machine().advance(VectorSpace::kLingers + 1'000'000);
    EXPECT_TRUE(vectors.claim_at(CpuId(0), vector, 8));
    EXPECT_EQ(vectors.holder(CpuId(0), vector), 8u);
}

TEST_F(Vectors, WhatWasGivenBackIsFreeAtOnce) {
    for (int turn = 0; turn < 1000; ++turn) {
        const uint8_t vector = vectors.claim(CpuId(0), 7, 1).value();
        vectors.release(CpuId(0), vector);
        EXPECT_EQ(vectors.holder(CpuId(0), vector), VectorSpace::kNobody);
    }
}

TEST_F(Vectors, VectorsOfOthersAreNobodys) {
    for (const unsigned vector : {0u, 0x20u, VectorSpace::kFirst - 1, VectorSpace::kEnd, 255u})
        EXPECT_EQ(vectors.holder(CpuId(0), vector), VectorSpace::kNobody);
    EXPECT_FALSE(vectors.claim_at(CpuId(0), VectorSpace::kEnd, 1));
    EXPECT_FALSE(vectors.claim_at(CpuId(5), VectorSpace::kFirst, 1));
}

}  // namespace
}  // namespace torii::test
