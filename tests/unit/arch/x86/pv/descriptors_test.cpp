#include "arch/x86/pv/descriptors.h"

#include <gtest/gtest.h>

namespace torii::pv {
namespace {

constexpr uint64_t descriptor(unsigned type, unsigned level, bool present, bool is_long, bool big) {
    return 0x008F'0000'0000'FFFF | uint64_t{type} << 40 | uint64_t{level} << 45 | uint64_t{present} << 47 |
           uint64_t{is_long} << 53 | uint64_t{big} << 54;
}

TEST(Descriptors, EveryTypeLevelAndMode) {
    for (unsigned type = 0; type < 32; ++type) {
        for (unsigned level = 0; level < 4; ++level) {
            for (unsigned mode = 0; mode < 4; ++mode) {
                const bool is_long = (mode & 1) != 0, big = (mode & 2) != 0;
                const auto stored = checked_descriptor(descriptor(type, level, true, is_long, big));
                const bool code = (type & 0x18) == 0x18;
                if (type < 16 || (code && is_long && big)) {
                    EXPECT_FALSE(stored) << type << " " << level << " " << mode;
                } else {
                    ASSERT_TRUE(stored) << type << " " << level << " " << mode;
                    EXPECT_EQ(*stored, descriptor(type | 1, 3, true, is_long, big));
                }
                const uint64_t absent = descriptor(type, level, false, is_long, big);
                EXPECT_EQ(checked_descriptor(absent), absent);
            }
        }
    }
}

TEST(Descriptors, TheNullDescriptorIsFine) {
    EXPECT_EQ(checked_descriptor(0), uint64_t{0});
}

// What Linux 6.1 has in its GDT.
TEST(Descriptors, LinuxKernelSegmentsBecomeRingThree) {
    EXPECT_EQ(checked_descriptor(0x00AF'9B00'0000'FFFF), 0x00AF'FB00'0000'FFFFu);
    EXPECT_EQ(checked_descriptor(0x00CF'9300'0000'FFFF), 0x00CF'F300'0000'FFFFu);
    EXPECT_EQ(checked_descriptor(0x00CF'FB00'0000'FFFF), 0x00CF'FB00'0000'FFFFu);
}

TEST(Descriptors, BaseIsInThreePieces) {
    EXPECT_EQ(descriptor_base(0x12CF'F334'5678'FFFF), 0x1234'5678u);
}

TEST(Selectors, AlwaysRingThree) {
    EXPECT_EQ(guest_selector(0xE030), 0xE033);
    EXPECT_EQ(guest_selector(0x10), 0x13);
    EXPECT_EQ(guest_selector(0), 3);
    EXPECT_EQ(guest_data_selector(0), 0);
    EXPECT_EQ(guest_data_selector(3), 0);
    EXPECT_EQ(guest_data_selector(0x28), 0x2B);
}

TEST(Selectors, Gates) {
    EXPECT_TRUE(is_valid_gate_selector(abi::kFlatRing3Cs64));
    EXPECT_TRUE(is_valid_gate_selector(abi::kFlatRing3Cs64 & ~3));
    EXPECT_TRUE(is_valid_gate_selector(0x10));
    EXPECT_TRUE(is_valid_gate_selector(0xFFFF));  // an LDT entry
    EXPECT_FALSE(is_valid_gate_selector(0));
    EXPECT_FALSE(is_valid_gate_selector(3));
    EXPECT_TRUE(is_valid_gate_selector((abi::kFirstReservedGdtEntry - 1) << 3));
    EXPECT_FALSE(is_valid_gate_selector(abi::kFirstReservedGdtEntry << 3));
    EXPECT_FALSE(is_valid_gate_selector(0xE040));  // the hypervisor's task state
    EXPECT_FALSE(is_valid_gate_selector(0xE008));
}

TEST(Ldt, StaysOutOfTheHypervisor) {
    EXPECT_TRUE(is_valid_ldt(0xFFFF'8880'0000'0000, 8192));
    EXPECT_TRUE(is_valid_ldt(0x1000, 1));
    EXPECT_TRUE(is_valid_ldt(0x123, 0));
    EXPECT_FALSE(is_valid_ldt(0x1000, 8193));
    EXPECT_FALSE(is_valid_ldt(0x1008, 1));
    EXPECT_FALSE(is_valid_ldt(0xFFFF'8000'0000'0000, 1));
    EXPECT_FALSE(is_valid_ldt(0xFFFF'87FF'FFFF'F000, 1));
    EXPECT_FALSE(is_valid_ldt(0x0000'7FFF'FFFF'F000, 1024));
    EXPECT_FALSE(is_valid_ldt(0x0000'8000'0000'0000, 1));
    EXPECT_FALSE(is_valid_ldt(0xFFFF'FFFF'FFFF'F000, 8192));
}

}  // namespace
}  // namespace torii::pv
