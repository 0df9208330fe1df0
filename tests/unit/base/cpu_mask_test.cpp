#include "base/cpu_mask.h"

#include <gtest/gtest.h>

#include <vector>

namespace torii::test {
namespace {

class CpuMaskTest : public testing::TestWithParam<unsigned> {
protected:
    void SetUp() override { cover_cpus(GetParam()); }
    void TearDown() override { cover_cpus(1); }

    static std::vector<unsigned> members(const CpuMask& mask) {
        std::vector<unsigned> found;
        mask.for_each([&](CpuId cpu) { found.push_back(cpu.raw()); });
        return found;
    }
};

TEST_P(CpuMaskTest, HoldsWhatWasAdded) {
    const unsigned last = GetParam() - 1;
    CpuMask mask;
    EXPECT_TRUE(mask.is_empty());
    mask.add(CpuId(last));
    mask.add(CpuId(last / 2));
    EXPECT_TRUE(mask.contains(CpuId(last)));
    EXPECT_EQ(mask.count(), last == last / 2 ? 1u : 2u);
    EXPECT_EQ(members(mask).front(), last / 2);
    mask.remove(CpuId(last / 2));
    mask.remove(CpuId(last));
    EXPECT_TRUE(mask.is_empty());
}

TEST_P(CpuMaskTest, TheFirstSoManyAreThoseAndNoOthers) {
    CpuMask all;
    all.assign_first(GetParam());
    EXPECT_EQ(all.count(), GetParam());
    const std::vector<unsigned> found = members(all);
    for (unsigned i = 0; i < found.size(); ++i)
        EXPECT_EQ(found[i], i);
    CpuMask fewer;
    fewer.assign_first(GetParam() - 1);
    EXPECT_EQ(fewer.count(), GetParam() - 1);
    EXPECT_FALSE(fewer.contains(CpuId(GetParam() - 1)));
}

TEST_P(CpuMaskTest, SetsCompareAndCombine) {
    const CpuId last(GetParam() - 1);
    CpuMask all;
    all.assign_first(GetParam());
    const CpuMask only(last);
    EXPECT_TRUE(only.is_within(all));
    EXPECT_TRUE(only.intersects(all));
    CpuMask rest;
    rest.assign(all);
    rest.remove_all(only);
    EXPECT_FALSE(rest.intersects(only));
    EXPECT_EQ(rest.is_within(only), rest.is_empty());
    rest.add_all(only);
    EXPECT_TRUE(rest.equals(all));
    rest.keep(only);
    EXPECT_TRUE(rest.equals(only));
    rest.clear();
    EXPECT_TRUE(rest.is_empty());
}

INSTANTIATE_TEST_SUITE_P(Machines, CpuMaskTest, testing::Values(1u, 2u, 63u, 64u, 65u, 1000u, kMostCpus));

}  // namespace
}  // namespace torii::test
