#include "boot/acpi_tables.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace torii::boot::test {
namespace {

class Table {
public:
    explicit Table(size_t bytes) : bytes_(bytes) {}
    template <class T>
    Table& put(size_t offset, T value) {
        memcpy(bytes_.data() + offset, &value, sizeof(value));
        return *this;
    }
    Table& put_register(size_t offset, uint8_t space, uint64_t address) {
        return put<uint8_t>(offset, space).put<uint64_t>(offset + 4, address);
    }
    // A structure at the end, as DMAR has them.
    Table& add(uint16_t type, uint16_t length, size_t there) {
        const size_t at = bytes_.size();
        bytes_.resize(at + there);
        if (there >= 4) put<uint16_t>(at, type).put<uint16_t>(at + 2, length);
        return *this;
    }
    operator TableBytes() const { return bytes_; }  // NOLINT: implicit on purpose
    [[nodiscard]] TableBytes first(size_t bytes) const { return TableBytes(bytes_).first(bytes); }

private:
    std::vector<uint8_t> bytes_;
};

constexpr uint32_t kWideTimer = 1u << 8, kReset = 1u << 10, kReduced = 1u << 20;

TEST(AcpiTablesTest, AnOldFadtHasPortsOnly) {
    Table table(116);
    table.put<uint32_t>(64, 0xb004).put<uint32_t>(76, 0xb008).put<uint8_t>(91, 4);
    const FadtFacts facts = read_fadt(table);
    EXPECT_EQ(facts.pm1a_control.space, GenericRegister::kPort);
    EXPECT_EQ(facts.pm1a_control.address, 0xb004u);
    EXPECT_EQ(facts.pm1b_control.address, 0u);
    EXPECT_EQ(facts.pm_timer.address, 0xb008u);
    EXPECT_FALSE(facts.pm_timer_is_wide);
    EXPECT_EQ(facts.reset.address, 0u);
}

TEST(AcpiTablesTest, TheWideFieldsWinWhereTheyAreFilledIn) {
    Table table(268);
    table.put<uint32_t>(64, 0x404).put_register(172, 1, 0x1804).put<uint32_t>(68, 0x414);
    table.put<uint32_t>(112, kWideTimer | kReset).put_register(116, 0, 0xfed00000).put<uint8_t>(128, 6);
    table.put<uint16_t>(109, 1u << 5).put<uint8_t>(91, 4).put_register(208, 1, 0x1808);
    const FadtFacts facts = read_fadt(table);
    EXPECT_EQ(facts.pm1a_control.address, 0x1804u);
    EXPECT_EQ(facts.pm1b_control.address, 0x414u);
    EXPECT_EQ(facts.reset.space, GenericRegister::kMemory);
    EXPECT_EQ(facts.reset.address, 0xfed00000u);
    EXPECT_EQ(facts.reset_value, 6);
    EXPECT_TRUE(facts.pm_timer_is_wide);
    EXPECT_TRUE(facts.no_rtc);
}

TEST(AcpiTablesTest, ReducedHardwareHasNoPorts) {
    Table table(268);
    table.put<uint32_t>(112, kReduced).put<uint32_t>(64, 0xb004).put_register(244, 1, 0x600);
    const FadtFacts facts = read_fadt(table);
    EXPECT_EQ(facts.pm1a_control.address, 0u);
    EXPECT_EQ(facts.pm_timer.address, 0u);
    EXPECT_EQ(facts.sleep_control.address, 0x600u);
}

TEST(AcpiTablesTest, NoTimerOfFourBytesIsNoTimer) {
    Table table(268);
    table.put<uint32_t>(76, 0xb008);
    EXPECT_EQ(read_fadt(table).pm_timer.address, 0u);
}

TEST(AcpiTablesTest, TheHpetLiesInMemory) {
    Table table(56);
    table.put_register(40, 0, 0xfed00000);
    EXPECT_EQ(read_hpet(table), 0xfed00000u);
    table.put_register(40, 1, 0x400);
    EXPECT_EQ(read_hpet(table), 0u);
}

TEST(AcpiTablesTest, ConfigurationSpaceOfTheFirstSegment) {
    Table table(76);
    table.put<uint64_t>(44, 0x8000'0000).put<uint16_t>(52, 1).put<uint8_t>(55, 255);
    table.put<uint64_t>(60, 0xb000'0000).put<uint16_t>(68, 0).put<uint8_t>(71, 127);
    EXPECT_EQ(read_mcfg(table).start, 0xb000'0000u);
    EXPECT_EQ(read_mcfg(table).bytes, 128u << 20);
    EXPECT_EQ(read_mcfg(table.first(75)).bytes, 0u) << "the entry is cut";
    EXPECT_EQ(read_mcfg(table.first(20)).bytes, 0u);
}

TEST(AcpiTablesTest, UnitsOfVtd) {
    Table table(48);
    table.add(0, 16, 16).add(1, 24, 24).add(0, 24, 24);
    EXPECT_EQ(count_dmar_units(table), 2u);
}

TEST(AcpiTablesTest, UnitsOfAmdAreCountedOnceEach) {
    Table table(48);
    table.add(0x10, 24, 24).add(0x11, 40, 40).add(0x10, 24, 24).add(0x11, 40, 40).add(0x20, 32, 32);
    EXPECT_EQ(count_ivrs_units(table), 2u);
}

TEST(AcpiTablesTest, DamagedStructuresEndTheCount) {
    Table none(48);
    none.add(0, 0, 16).add(0, 16, 16);  // a length of zero
    EXPECT_EQ(count_dmar_units(none), 0u);
    Table beyond(48);
    beyond.add(0, 16, 16).add(0, 200, 16);  // longer than the table
    EXPECT_EQ(count_dmar_units(beyond), 1u);
}

TEST(AcpiTablesTest, AnyCutIsRead) {
    Table table(268);
    table.put<uint32_t>(112, kReset).put_register(116, 1, 0xcf9).put<uint32_t>(64, 0xb004);
    for (size_t bytes = 0; bytes <= 268; ++bytes) {
        const FadtFacts facts = read_fadt(table.first(bytes));
        EXPECT_EQ(facts.pm1a_control.address, bytes >= 68 ? 0xb004u : 0u);
        (void)read_hpet(table.first(bytes));
        (void)count_dmar_units(table.first(bytes));
        (void)count_ivrs_units(table.first(bytes));
    }
}

}  // namespace
}  // namespace torii::boot::test
