#include "core/trace/symbols.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

namespace torii::test {
namespace {

constexpr uint8_t kIt = 128, kWait = 129;  // tokens: "it", "wait" (of one that is a token itself)

using Bytes = std::vector<uint8_t>;

Bytes tokens() {
    Bytes bytes(256, '?');
    bytes[0] = 'i';
    bytes[1] = 't';
    bytes[2] = 'a';
    bytes[3] = kIt;
    return bytes;
}

void add_number(Bytes& bytes, uint64_t value) {
    for (; value >= 128; value >>= 7)
        bytes.push_back(static_cast<uint8_t>(value & 127) | 128);
    bytes.push_back(static_cast<uint8_t>(value));
}

void add_part(Bytes& bytes, const std::vector<std::pair<uint64_t, std::string>>& symbols) {
    add_number(bytes, symbols.size());
    uint64_t before = 0;
    for (const auto& [offset, name] : symbols) {
        add_number(bytes, offset - before);
        before = offset;
        bytes.push_back(static_cast<uint8_t>(name.size()));
        bytes.insert(bytes.end(), name.begin(), name.end());
    }
}

Bytes table() {
    Bytes bytes = tokens();
    const std::string wait = {'w', static_cast<char>(kWait)};
    add_part(bytes, {{0x10, "first"}, {0x400, wait}, {0x12345, "Heap::take"}});
    add_part(bytes, {{0, "boot_main"}});
    return bytes;
}

std::string look_up(const Bytes& bytes, ImagePart part, uint64_t offset, size_t room = kLongestSymbol) {
    std::string text(room, '\0');
    const auto found = find_symbol(bytes, part, offset, text);
    return found ? std::string(found->name) + "+" + std::to_string(found->offset) : "none";
}

TEST(SymbolsTest, TheLastFunctionThatBeginsBeforeIsIt) {
    EXPECT_EQ(look_up(table(), ImagePart::kResident, 0xf), "none");
    EXPECT_EQ(look_up(table(), ImagePart::kResident, 0x10), "first+0");
    EXPECT_EQ(look_up(table(), ImagePart::kResident, 0x3ff), "first+1007");
    EXPECT_EQ(look_up(table(), ImagePart::kResident, 0x401), "wait+1");
    EXPECT_EQ(look_up(table(), ImagePart::kResident, 0x12346), "Heap::take+1");
}

TEST(SymbolsTest, EachPartHasItsOwn) {
    EXPECT_EQ(look_up(table(), ImagePart::kBoot, 7), "boot_main+7");
}

TEST(SymbolsTest, ALongNameIsCut) {
    EXPECT_EQ(look_up(table(), ImagePart::kResident, 0x12345, 4), "Heap+0");
    EXPECT_EQ(look_up(table(), ImagePart::kResident, 0x12345, 0), "+0");
}

TEST(SymbolsTest, WithoutATableThereAreNoNames) {
    EXPECT_EQ(look_up({}, ImagePart::kResident, 0x10), "none");
    EXPECT_EQ(look_up(tokens(), ImagePart::kResident, 0x10), "none");
}

TEST(SymbolsTest, ATokenOfItselfEnds) {
    Bytes bytes = tokens();
    for (size_t i = 0; i < 256; ++i)
        bytes[i] = static_cast<uint8_t>(128 + i / 2);
    add_part(bytes, {{0, std::string(1, static_cast<char>(200))}});
    EXPECT_EQ(look_up(bytes, ImagePart::kResident, 0), "+0");
}

TEST(SymbolsTest, TokensThatDoubleAndSayNothingEnd) {
    Bytes bytes = tokens();
    for (size_t i = 2; i < 256; ++i)
        bytes[i] = static_cast<uint8_t>(128 + i / 2 - 1);
    bytes[0] = bytes[1] = 255;
    add_part(bytes, {{0, std::string(1, static_cast<char>(255))}});
    EXPECT_EQ(look_up(bytes, ImagePart::kResident, 0), "+0");
}

TEST(SymbolsTest, AnyDamageIsRead) {
    std::mt19937 random(1);
    for (unsigned round = 0; round < 3000; ++round) {
        Bytes bytes = table();
        for (unsigned i = 0; i < 1 + round % 8; ++i)
            bytes[256 + random() % (bytes.size() - 256)] = static_cast<uint8_t>(random());
        if (round % 3 == 0) bytes.resize(random() % bytes.size());
        (void)look_up(bytes, ImagePart::kResident, random() % 0x20000);
        (void)look_up(bytes, ImagePart::kBoot, random() % 0x20000);
    }
}

}  // namespace
}  // namespace torii::test
