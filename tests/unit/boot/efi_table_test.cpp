#include "boot/efi_table.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace torii::boot::test {
namespace {

constexpr uint64_t kTable = 0x1000, kRuntime = 0x2000, kVendor = 0x3000;

class EfiTableTest : public ::testing::Test {
protected:
    EfiTableTest() : bytes_(0x4000) {
        put(kTable, uint64_t{0x5453595320494249});
        put(kTable + 8, (2u << 16) | 70);
        put(kTable + 24, kVendor);
        put(kTable + 32, 0x10000u);
        put(kTable + 88, kRuntime);
        put(kTable + 104, uint64_t{9});
        put(kTable + 112, uint64_t{0x7f000000});
        put(kRuntime, uint64_t{0x56524553544e5552});
        put(kRuntime + 8, (2u << 16) | 70);
        const std::u16string vendor = u"EDK II";
        memcpy(bytes_.data() + kVendor, vendor.data(), vendor.size() * 2);
    }
    template <class T>
    void put(uint64_t at, T value) {
        memcpy(bytes_.data() + at, &value, sizeof(value));
    }
    [[nodiscard]] std::optional<EfiFirmware> read(uint64_t at = kTable) const {
        return read_efi_table(at, LoaderMemory(bytes_.data(), bytes_.size()));
    }
    std::vector<unsigned char> bytes_;
};

TEST_F(EfiTableTest, SaysWhatItIs) {
    const auto firmware = read();
    ASSERT_TRUE(firmware.has_value());
    EXPECT_EQ(firmware->revision, (2u << 16) | 70);
    EXPECT_EQ(firmware->vendor_length, 6u);
    EXPECT_EQ(firmware->vendor[0], u'E');
    EXPECT_EQ(firmware->vendor_revision, 0x10000u);
    EXPECT_EQ(firmware->config_table, 0x7f000000u);
    EXPECT_EQ(firmware->config_entries, 9u);
    EXPECT_EQ(firmware->runtime_table, kRuntime);
    EXPECT_EQ(firmware->runtime_revision, (2u << 16) | 70);
}

TEST_F(EfiTableTest, WithoutItsSignatureItIsNone) {
    put(kTable, uint64_t{1});
    EXPECT_FALSE(read().has_value());
    EXPECT_FALSE(read(0).has_value());
    EXPECT_FALSE(read(0x3ff8).has_value());
    EXPECT_FALSE(read(~uint64_t{0}).has_value());
}

TEST_F(EfiTableTest, WithoutRuntimeServicesItIsOneStill) {
    put(kRuntime, uint64_t{0});
    ASSERT_TRUE(read().has_value());
    EXPECT_EQ(read()->runtime_table, 0u);
}

TEST_F(EfiTableTest, AVendorWithoutAnEndIsCut) {
    for (uint64_t at = kVendor; at < 0x4000; at += 2)
        put(at, uint16_t{'x'});
    EXPECT_EQ(read()->vendor_length, EfiFirmware::kLongestVendor);
    put(kTable + 24, uint64_t{0x3ffe});
    EXPECT_EQ(read()->vendor_length, 1u);
    put(kTable + 24, uint64_t{0});
    EXPECT_EQ(read()->vendor_length, 0u);
}

}  // namespace
}  // namespace torii::boot::test
