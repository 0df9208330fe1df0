#include "boot/memory_map.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "boot/efi_map.h"

namespace torii::boot::test {
namespace {

constexpr uint32_t kRam = 1, kReserved = 2, kAcpi = 3, kNvs = 4, kUnusable = 5;

struct Entry {
    uint64_t start, end;
    uint32_t type;
    bool operator==(const Entry&) const = default;
};

std::vector<Entry> entries_of(const MachineMemoryMap& map) {
    std::vector<Entry> found;
    for (unsigned i = 0; i < map.count; ++i)
        found.push_back(
            {map.entries[i].address, map.entries[i].address + map.entries[i].size, map.entries[i].type});
    return found;
}

std::vector<Entry> built(const std::vector<Entry>& given, MachineMemoryMap& map) {
    MemoryMapBuilder builder(map);
    for (const Entry& entry : given)
        builder.add(entry.start, entry.end - entry.start, entry.type);
    builder.finish();
    EXPECT_EQ(builder.left_out(), 0u);
    return entries_of(map);
}
std::vector<Entry> built(const std::vector<Entry>& given) {
    MachineMemoryMap map{};
    return built(given, map);
}

TEST(MemoryMapTest, SortsJoinsAndSumsUp) {
    MachineMemoryMap map{};
    EXPECT_EQ(
        built({{0x100000, 0x8000000, kRam},
               {0, 0x9f000, kRam},
               {0x8000000, 0x9000000, kRam},
               {0x9f000, 0xa0000, kReserved}},
              map),
        (std::vector<Entry>{{0, 0x9f000, kRam}, {0x9f000, 0xa0000, kReserved}, {0x100000, 0x9000000, kRam}}));
    EXPECT_EQ(map.ram_frames, 0x9fu + 0x8f00u);
    EXPECT_EQ(map.end_of_ram, Mfn(0x9000));
}

TEST(MemoryMapTest, WhatIsNotRamWins) {
    EXPECT_EQ(
        built({{0x1000, 0x9000, kRam}, {0x3000, 0x4000, kReserved}}),
        (std::vector<Entry>{{0x1000, 0x3000, kRam}, {0x3000, 0x4000, kReserved}, {0x4000, 0x9000, kRam}}));
    EXPECT_EQ(built({{0x3000, 0x5000, kAcpi}, {0x4000, 0x9000, kRam}}),
              (std::vector<Entry>{{0x3000, 0x5000, kAcpi}, {0x5000, 0x9000, kRam}}));
    EXPECT_EQ(built({{0x1000, 0x9000, kReserved}, {0x2000, 0x3000, kRam}}),
              (std::vector<Entry>{{0x1000, 0x9000, kReserved}}));
    EXPECT_EQ(built({{0x1000, 0x9000, kRam}, {0x1000, 0x3000, kNvs}}),
              (std::vector<Entry>{{0x1000, 0x3000, kNvs}, {0x3000, 0x9000, kRam}}));
}

TEST(MemoryMapTest, EndsDoNotRunOver) {
    constexpr uint64_t kEnd = uint64_t{1} << 52;
    EXPECT_EQ(built({{kEnd - 0x1000, kEnd - 0x1000 + ~uint64_t{0}, kReserved}}),
              (std::vector<Entry>{{kEnd - 0x1000, kEnd, kReserved}}));
    EXPECT_EQ(built({{~uint64_t{0} - 5, ~uint64_t{0}, kRam}, {5, 5, kRam}}), (std::vector<Entry>{}));
}

TEST(MemoryMapTest, TooManyAreCounted) {
    MachineMemoryMap map{};
    MemoryMapBuilder builder(map);
    for (uint64_t i = 0; i < 200; ++i)
        builder.add(i * 0x2000, 0x1000, kRam);
    builder.finish();
    EXPECT_EQ(map.count, MachineMemoryMap::kMostEntries);
    EXPECT_EQ(builder.left_out(), 200 - MachineMemoryMap::kMostEntries);
}

TEST(MemoryMapTest, AnyOverlapsEndSortedAndRamIsOnlyWhereNothingElseIs) {
    std::mt19937_64 random(1);
    for (unsigned round = 0; round < 2000; ++round) {
        std::vector<Entry> given;
        uint32_t pages[64]{};
        for (unsigned i = 0; i < 1 + random() % 12; ++i) {
            const uint64_t start = random() % 60;
            const uint64_t end = start + 1 + random() % (64 - start - 1);
            const auto type = static_cast<uint32_t>(1 + random() % 3);
            given.push_back({start << 12, end << 12, type});
            for (uint64_t page = start; page < end; ++page) {
                if (pages[page] == 0 || (pages[page] == kRam && type != kRam)) pages[page] = type;
            }
        }
        uint64_t last = 0;
        uint32_t got[64]{};
        for (const Entry& entry : built(given)) {
            ASSERT_GE(entry.start, last);
            ASSERT_GT(entry.end, entry.start);
            last = entry.end;
            for (uint64_t page = entry.start >> 12; page < entry.end >> 12; ++page)
                got[page] = entry.type;
        }
        for (unsigned page = 0; page < 64; ++page) {
            ASSERT_EQ(got[page] == 0, pages[page] == 0) << "page " << page << " of round " << round;
            ASSERT_EQ(got[page] == kRam, pages[page] == kRam) << "page " << page << " of round " << round;
        }
    }
}

TEST(EfiMapTest, TypesAfterBootServices) {
    const auto type = [](uint32_t efi, uint64_t attributes = kEfiWriteBack) {
        return e820_type_of({efi, 0, 0, 0, 1, attributes});
    };
    for (const uint32_t ram : {1u, 2u, 3u, 4u, 7u})
        EXPECT_EQ(type(ram), kRam) << ram;
    for (const uint32_t reserved : {0u, 5u, 6u, 11u, 12u, 13u, 14u, 15u, 0x80000000u})
        EXPECT_EQ(type(reserved), kReserved) << reserved;
    EXPECT_EQ(type(8), kUnusable);
    EXPECT_EQ(type(9), kAcpi);
    EXPECT_EQ(type(10), kNvs);
    EXPECT_EQ(type(7, 0), kReserved);  // can't be cached
    EXPECT_EQ(type(7, kEfiWriteBack | kEfiSpecificPurpose), kReserved);
}

TEST(EfiMapTest, LongDescriptorsAndCutOnes) {
    std::vector<uint8_t> bytes(48 * 3 - 1);
    const EfiDescriptor ram{7, 0, 0x100000, 0, 16, kEfiWriteBack};
    const EfiDescriptor runtime{6, 0, 0x110000, 0, ~uint64_t{0}, kEfiWriteBack | kEfiRuntime};
    memcpy(bytes.data(), &ram, sizeof(ram));
    memcpy(bytes.data() + 48, &runtime, sizeof(runtime));
    const EfiMap efi(bytes, 48);
    ASSERT_EQ(efi.count(), 2u);
    EXPECT_EQ(efi[1].physical, 0x110000u);
    MachineMemoryMap map{};
    MemoryMapBuilder builder(map);
    add_efi_map(efi, builder);
    builder.finish();
    EXPECT_EQ(entries_of(map),
              (std::vector<Entry>{{0x100000, 0x110000, kRam}, {0x110000, uint64_t{1} << 52, kReserved}}));
    EXPECT_EQ(EfiMap(bytes, 39).count(), 0u);
    EXPECT_EQ(EfiMap(bytes, 0).count(), 0u);
}

}  // namespace
}  // namespace torii::boot::test
