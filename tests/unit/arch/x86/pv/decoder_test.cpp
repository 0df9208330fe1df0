#include "arch/x86/pv/decoder.h"

#include <gtest/gtest.h>

#include <iomanip>
#include <random>
#include <vector>

#include "decoder_oracle.h"

namespace torii::pv {
namespace {

std::string hex(std::span<const uint8_t> bytes) {
    std::ostringstream out;
    for (const uint8_t byte : bytes)
        out << std::hex << std::setw(2) << std::setfill('0') << unsigned{byte} << ' ';
    return out.str();
}

Result<Instruction> decode_bytes(std::initializer_list<uint8_t> bytes) {
    return decode(std::span<const uint8_t>(bytes.begin(), bytes.size()));
}

// Mostly well-formed: prefixes, an opcode of ours, any ModRM, any tail.
std::vector<uint8_t> structured_bytes(std::mt19937_64& random) {
    static constexpr uint8_t kPrefixes[] = {0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3};
    static constexpr uint8_t kOne[] = {0x00, 0x01, 0x08, 0x09, 0x20, 0x21, 0x28, 0x29, 0x30, 0x31,
                                       0x6C, 0x6D, 0x6E, 0x6F, 0x80, 0x81, 0x83, 0x86, 0x87, 0x88,
                                       0x89, 0xA4, 0xA5, 0xAA, 0xAB, 0xC6, 0xC7, 0xE4, 0xE5, 0xE6,
                                       0xE7, 0xEC, 0xED, 0xEE, 0xEF, 0xF4, 0xFA, 0xFB};
    static constexpr uint8_t kTwo[] = {0x01, 0x06, 0x08, 0x09, 0x20, 0x21, 0x22, 0x23, 0x30, 0x31, 0x32,
                                       0x33, 0xA2, 0xAB, 0xB0, 0xB1, 0xB3, 0xBA, 0xBB, 0xC0, 0xC1, 0xC7};
    std::vector<uint8_t> bytes;
    while (random() % 3 == 0)
        bytes.push_back(kPrefixes[random() % std::size(kPrefixes)]);
    if (random() % 2 == 0) bytes.push_back(static_cast<uint8_t>(0x40 | random() % 16));
    if (random() % 2 == 0) {
        bytes.push_back(kOne[random() % std::size(kOne)]);
    } else {
        bytes.push_back(0x0F);
        bytes.push_back(kTwo[random() % std::size(kTwo)]);
    }
    const size_t length = random() % 8 == 0 ? random() % 16 : 15;
    while (bytes.size() < 15)
        bytes.push_back(static_cast<uint8_t>(random()));
    bytes.resize(length);
    return bytes;
}

TEST(DecoderOracle, StructuredBytesAgreeWithZydis) {
    std::mt19937_64 random(20240101);
    unsigned accepted = 0;
    constexpr unsigned kCases = 1'000'000;
    for (unsigned i = 0; i < kCases; ++i) {
        const auto bytes = structured_bytes(random);
        const auto verdict = test::compare_with_zydis(bytes);
        accepted += verdict.accepted;
        ASSERT_EQ(verdict.difference, "") << hex(bytes);
    }
    EXPECT_GT(accepted, kCases / 4);
}

TEST(DecoderOracle, RandomBytesAgreeWithZydis) {
    std::mt19937_64 random(7);
    for (unsigned i = 0; i < 300'000; ++i) {
        std::vector<uint8_t> bytes(1 + random() % 15);
        for (auto& byte : bytes)
            byte = static_cast<uint8_t>(random());
        const auto verdict = test::compare_with_zydis(bytes);
        ASSERT_EQ(verdict.difference, "") << hex(bytes);
    }
}

TEST(DecoderOracle, EveryOpcodeWithEveryModRmAgrees) {
    for (const int rex : {0x00, 0x40, 0x41, 0x44, 0x48, 0x4F}) {
        for (unsigned opcode = 0; opcode < 512; ++opcode) {
            for (unsigned modrm = 0; modrm < 256; ++modrm) {
                std::vector<uint8_t> bytes;
                if (rex != 0) bytes.push_back(static_cast<uint8_t>(rex));
                if (opcode >= 256) bytes.push_back(0x0F);
                bytes.push_back(static_cast<uint8_t>(opcode));
                bytes.push_back(static_cast<uint8_t>(modrm));
                for (uint8_t i = 0; bytes.size() < 15; ++i)
                    bytes.push_back(static_cast<uint8_t>(0x9D + 37 * i));
                const auto verdict = test::compare_with_zydis(bytes);
                ASSERT_EQ(verdict.difference, "") << hex(bytes);
            }
        }
    }
}

TEST(Decoder, ForcedEmulationCoversAllSevenBytes) {
    const uint8_t bytes[] = {0x0F, 0x0B, 0x78, 0x65, 0x6E, 0x0F, 0xA2, 0x90};
    auto decoded = decode_forced_emulation(bytes);
    ASSERT_TRUE(decoded.ok());
    EXPECT_EQ(decoded.value().operation, Operation::kCpuid);
    EXPECT_EQ(decoded.value().length, 7);
    for (size_t i = 0; i < 7; ++i) {
        EXPECT_EQ(decode_forced_emulation(std::span(bytes, i)).error(), Errno::kEFAULT) << i;
        uint8_t broken[7];
        std::copy(bytes, bytes + 7, broken);
        broken[i] ^= 1;
        EXPECT_EQ(decode_forced_emulation(broken).error(), Errno::kEINVAL) << i;
    }
}

TEST(Decoder, CutInstructionsAskForMoreBytes) {
    const uint8_t bytes[] = {0xF0, 0x48, 0x81, 0xA4, 0x8B, 1, 2,
                             3,    4,    5,    6,    7,    8};  // lock andq $.., 4*rcx+rbx+..
    ASSERT_TRUE(decode(bytes).ok());
    EXPECT_EQ(decode(bytes).value().length, 13);
    for (size_t i = 0; i < sizeof(bytes); ++i)
        EXPECT_EQ(decode(std::span(bytes, i)).error(), Errno::kEFAULT) << i;
}

TEST(Decoder, RefusesMoreThanFifteenBytes) {
    std::vector<uint8_t> bytes(14, 0x66);
    bytes.push_back(0x89);
    EXPECT_EQ(decode(bytes).error(), Errno::kEINVAL);
    bytes.push_back(0x07);
    EXPECT_EQ(decode(bytes).error(), Errno::kEINVAL);
}

TEST(Decoder, RefusesWhatAKernelHasNoReasonFor) {
    EXPECT_EQ(decode_bytes({0xF0, 0x0F, 0x20, 0xC0}).error(), Errno::kEINVAL);  // lock mov cr0: cr8 on AMD
    EXPECT_EQ(decode_bytes({0x0F, 0x22, 0xC8}).error(), Errno::kEINVAL);        // cr1
    EXPECT_EQ(decode_bytes({0x44, 0x0F, 0x23, 0xC0}).error(), Errno::kEINVAL);  // dr8
    EXPECT_EQ(decode_bytes({0x0F, 0xC7, 0x0F}).error(), Errno::kEINVAL);        // cmpxchg8b
    EXPECT_EQ(decode_bytes({0xF0, 0x48, 0x0F, 0xC7, 0x0F}).error(), Errno::kEINVAL);  // cmpxchg16b
    EXPECT_EQ(decode_bytes({0x48, 0x89, 0xC8}).error(), Errno::kEINVAL);  // mov rax, rcx: nothing to do
    EXPECT_EQ(decode_bytes({0x0F, 0x01, 0x3F}).error(), Errno::kEINVAL);  // invlpg
    EXPECT_EQ(decode_bytes({0x0F, 0x08}).error(), Errno::kEINVAL);        // invd: would lose others' data
    EXPECT_EQ(decode_bytes({0x0F, 0x01, 0xF0}).error(), Errno::kEINVAL);  // lmsw
    EXPECT_EQ(decode_bytes({0xF3, 0x0F, 0x09}).error(), Errno::kEINVAL);  // wbnoinvd, which is hidden
}

TEST(Decoder, BitNumbersReachOutsideTheOperand) {
    auto decoded = decode_bytes({0xF0, 0x48, 0x0F, 0xB3, 0x07});  // lock btr [rdi], rax
    ASSERT_TRUE(decoded.ok());
    GuestRegisters registers{};
    registers.rdi = 0x1000;
    registers.rax = 63;
    EXPECT_EQ(linear_address(decoded.value(), registers, {}), 0x1000u);
    registers.rax = 64;
    EXPECT_EQ(linear_address(decoded.value(), registers, {}), 0x1008u);
    registers.rax = ~uint64_t{0};
    EXPECT_EQ(linear_address(decoded.value(), registers, {}), 0xFF8u);
}

TEST(Decoder, RipRelativeCountsFromTheNextInstruction) {
    auto decoded = decode_bytes({0x48, 0xC7, 0x05, 0x10, 0, 0, 0, 1, 0, 0, 0});  // movq $1, 16(%rip)
    ASSERT_TRUE(decoded.ok());
    GuestRegisters registers{};
    registers.rip = 0x400000;
    EXPECT_EQ(linear_address(decoded.value(), registers, {}), 0x400000u + 11 + 16);
}

}  // namespace
}  // namespace torii::pv
