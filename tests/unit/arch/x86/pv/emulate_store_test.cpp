#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "arch/x86/pv/emulate.h"
#include "native_runner.h"

namespace torii::pv {
namespace {

constexpr uint64_t kCarry = 1, kParity = 4, kAdjust = 0x10, kZero = 0x40, kSign = 0x80, kOverflow = 0x800;
constexpr uint64_t kAll = kCarry | kParity | kAdjust | kZero | kSign | kOverflow;

struct Template {
    std::vector<uint8_t> opcode;  // with 0F
    int digit;                    // -1: a register operand
    int immediate;                // bytes at most
    bool lockable;
    uint64_t flags;  // defined afterwards
};

const std::vector<Template> kTemplates = {
    {{0x00}, -1, 0, true, kAll},
    {{0x01}, -1, 0, true, kAll},
    {{0x08}, -1, 0, true, kAll & ~kAdjust},
    {{0x09}, -1, 0, true, kAll & ~kAdjust},
    {{0x20}, -1, 0, true, kAll & ~kAdjust},
    {{0x21}, -1, 0, true, kAll & ~kAdjust},
    {{0x28}, -1, 0, true, kAll},
    {{0x29}, -1, 0, true, kAll},
    {{0x30}, -1, 0, true, kAll & ~kAdjust},
    {{0x31}, -1, 0, true, kAll & ~kAdjust},
    {{0x80}, 0, 1, true, kAll},
    {{0x80}, 5, 1, true, kAll},
    {{0x80}, 4, 1, true, kAll & ~kAdjust},
    {{0x81}, 1, 4, true, kAll & ~kAdjust},
    {{0x81}, 4, 4, true, kAll & ~kAdjust},
    {{0x81}, 6, 4, true, kAll & ~kAdjust},
    {{0x81}, 5, 4, true, kAll},
    {{0x83}, 0, 1, true, kAll},
    {{0x83}, 4, 1, true, kAll & ~kAdjust},
    {{0x86}, -1, 0, true, kAll},
    {{0x87}, -1, 0, true, kAll},
    {{0x88}, -1, 0, false, kAll},
    {{0x89}, -1, 0, false, kAll},
    {{0xC6}, 0, 1, false, kAll},
    {{0xC7}, 0, 4, false, kAll},
    {{0x0F, 0xAB}, -1, 0, true, kCarry},
    {{0x0F, 0xB3}, -1, 0, true, kCarry},
    {{0x0F, 0xBB}, -1, 0, true, kCarry},
    {{0x0F, 0xBA}, 5, 1, true, kCarry},
    {{0x0F, 0xBA}, 6, 1, true, kCarry},
    {{0x0F, 0xBA}, 7, 1, true, kCarry},
    {{0x0F, 0xB0}, -1, 0, true, kAll},
    {{0x0F, 0xB1}, -1, 0, true, kAll},
    {{0x0F, 0xC0}, -1, 0, true, kAll},
    {{0x0F, 0xC1}, -1, 0, true, kAll},
};

class StoreAgainstCpu : public testing::Test {
protected:
    // An instruction of the template on the memory at rdi.
    std::vector<uint8_t> assemble(const Template& form) {
        std::vector<uint8_t> bytes;
        const bool word = random_() % 4 == 0;
        const auto rex =
            static_cast<uint8_t>(random_() % 2 == 0 ? 0 : 0x40 | (random_() % 2) << 3 | (random_() % 2) << 2);
        if (form.lockable && random_() % 2 == 0) bytes.push_back(0xF0);
        if (word) bytes.push_back(0x66);
        if (rex != 0) bytes.push_back(rex);
        bytes.insert(bytes.end(), form.opcode.begin(), form.opcode.end());
        unsigned reg = form.digit >= 0 ? static_cast<unsigned>(form.digit) : random_() % 8;
        if (form.digit < 0 && reg == 4 && (rex & 4) == 0) reg = 3;  // not rsp
        bytes.push_back(static_cast<uint8_t>(reg << 3 | 7));
        const bool wide_immediate = form.immediate == 4;
        const int immediate = wide_immediate && word && (rex & 8) == 0 ? 2 : form.immediate;
        for (int i = 0; i < immediate; ++i)
            bytes.push_back(static_cast<uint8_t>(random_()));
        return bytes;
    }

    GuestRegisters random_registers(const Instruction& instruction) {
        GuestRegisters registers{};
        for (unsigned i = 0; i < 16; ++i)
            general_register(registers, i) = random_();
        registers.rsp = 0;
        registers.rip = 0x1000;
        registers.rflags = 2 | (random_() & kAll);
        const unsigned width = instruction.operand_bytes;
        const uint64_t offset = random_() % (9 - width);
        if (instruction.operation >= Operation::kBitSet &&
            instruction.operation <= Operation::kBitComplement && instruction.source == Source::kRegister)
            general_register(registers, instruction.reg) = random_() % (8 * width);
        registers.rdi = reinterpret_cast<uint64_t>(&native_entry_) + offset;
        return registers;
    }

    void compare(const Template& form) {
        const auto bytes = assemble(form);
        auto decoded = decode(bytes);
        ASSERT_TRUE(decoded.ok());
        ASSERT_EQ(decoded.value().length, bytes.size());
        const Instruction& instruction = decoded.value();
        const bool bit_by_pointer = instruction.operation >= Operation::kBitSet &&
                                    instruction.operation <= Operation::kBitComplement &&
                                    instruction.source == Source::kRegister && instruction.reg == 7;
        if (bit_by_pointer) return;

        GuestRegisters registers = random_registers(instruction);
        uint64_t entry = random_();
        if (instruction.operation == Operation::kCompareExchange && random_() % 2 == 0)
            std::memcpy(&entry, &registers.rax, 8);
        native_entry_ = entry;

        const uint64_t fault = reinterpret_cast<uint64_t>(&native_entry_) + random_() % 8;
        const Emulation emulation = emulate_entry_store(instruction, registers, {}, {fault, entry, 0});
        ASSERT_FALSE(std::holds_alternative<Refuse>(emulation.action))
            << std::get<Refuse>(emulation.action).reason;
        GuestRegisters ours = registers;
        emulation.finish(ours);
        if (const auto* write = std::get_if<WriteEntry>(&emulation.action)) entry = write->desired;

        GuestRegisters native = registers;
        test::run_natively(bytes, native);
        EXPECT_EQ(entry, native_entry_);
        for (unsigned i = 0; i < 16; ++i)
            EXPECT_EQ(general_register(ours, i), general_register(native, i)) << i;
        EXPECT_EQ(ours.rflags & form.flags, native.rflags & form.flags);
        EXPECT_EQ(ours.rip, registers.rip + bytes.size());
        if (HasFailure()) {
            std::string text;
            for (const auto byte : bytes)
                text += testing::PrintToString(unsigned{byte}) + " ";
            FAIL() << text;
        }
    }

    std::mt19937_64 random_{42};
    alignas(64) uint64_t native_entry_ = 0;
};

TEST_F(StoreAgainstCpu, EveryFormDoesWhatTheCpuDoes) {
    for (const auto& form : kTemplates) {
        for (unsigned i = 0; i < 2000 && !HasFailure(); ++i)
            compare(form);
    }
}

TEST_F(StoreAgainstCpu, StringStores) {
    static const std::vector<std::vector<uint8_t>> kForms = {
        {0xAA}, {0xAB}, {0x66, 0xAB}, {0x48, 0xAB},      {0xF3, 0x48, 0xAB},
        {0xA4}, {0xA5}, {0x48, 0xA5}, {0xF3, 0x48, 0xA5}};
    for (const auto& bytes : kForms) {
        for (unsigned i = 0; i < 200; ++i) {
            auto decoded = decode(bytes);
            ASSERT_TRUE(decoded.ok());
            GuestRegisters registers = random_registers(decoded.value());
            registers.rcx = 1;
            if (random_() % 2 == 0) registers.rflags |= kFlagDirection;
            const uint64_t source = random_();
            registers.rsi = reinterpret_cast<uint64_t>(&source);
            native_entry_ = random_();
            const uint64_t fault = reinterpret_cast<uint64_t>(&native_entry_);
            const Emulation emulation =
                emulate_entry_store(decoded.value(), registers, {}, {fault, native_entry_, source});
            GuestRegisters ours = registers;
            emulation.finish(ours);
            ASSERT_EQ(source_address(decoded.value(), registers, {}), reinterpret_cast<uint64_t>(&source));
            test::run_natively(bytes, registers);
            ASSERT_EQ(std::get<WriteEntry>(emulation.action).desired, native_entry_);
            for (unsigned r = 0; r < 16; ++r)
                ASSERT_EQ(general_register(ours, r), general_register(registers, r)) << r;
        }
    }
}

Instruction decoded(std::initializer_list<uint8_t> bytes) {
    return decode(std::span<const uint8_t>(bytes.begin(), bytes.size())).take();
}

TEST(EmulateStore, AnInstructionThatLeavesItsEntryIsRefused) {
    const Instruction move = decoded({0x48, 0x89, 0x07});  // mov %rax, (%rdi)
    GuestRegisters registers{};
    for (const uint64_t address : {0x1001, 0x0FF8, 0x1008, 0x0FF9}) {
        registers.rdi = address;
        const auto emulation = emulate_entry_store(move, registers, {}, {0x1000, 0, 0});
        ASSERT_TRUE(std::holds_alternative<Refuse>(emulation.action)) << address;
        EXPECT_EQ(std::get<Refuse>(emulation.action).vector, FaultVector::kPageFault);
    }
    registers.rdi = 0x1000;
    EXPECT_TRUE(
        std::holds_alternative<WriteEntry>(emulate_entry_store(move, registers, {}, {0x1004, 0, 0}).action));
}

TEST(EmulateStore, AnAddressThatWrapsIsRefused) {
    const Instruction move = decoded({0x48, 0x89, 0x07});
    GuestRegisters registers{};
    registers.rdi = 0xFFFF'FFFF'FFFF'FFFC;
    const auto emulation = emulate_entry_store(move, registers, {}, {0xFFFF'FFFF'FFFF'FFF8, 0, 0});
    EXPECT_TRUE(std::holds_alternative<Refuse>(emulation.action));
}

TEST(EmulateStore, RepeatedStoresStayUntilTheLastElement) {
    const Instruction clear = decoded({0xF3, 0x48, 0xAB});  // rep stosq
    GuestRegisters registers{};
    registers.rip = 0x500;
    registers.rdi = 0x1000;
    registers.rcx = 2;
    emulate_entry_store(clear, registers, {}, {0x1000, 7, 0}).finish(registers);
    EXPECT_EQ(registers.rip, 0x500u);
    EXPECT_EQ(registers.rcx, 1u);
    EXPECT_EQ(registers.rdi, 0x1008u);
    emulate_entry_store(clear, registers, {}, {0x1008, 7, 0}).finish(registers);
    EXPECT_EQ(registers.rip, 0x503u);
    EXPECT_EQ(registers.rcx, 0u);
}

TEST(EmulateStore, NothingIsWrittenByAFailedCompareExchange) {
    const Instruction exchange = decoded({0xF0, 0x48, 0x0F, 0xB1, 0x0F});  // lock cmpxchg %rcx, (%rdi)
    GuestRegisters registers{};
    registers.rdi = 0x1000;
    registers.rax = 5;
    const auto emulation = emulate_entry_store(exchange, registers, {}, {0x1000, 6, 0});
    EXPECT_TRUE(std::holds_alternative<Proceed>(emulation.action));
    emulation.finish(registers);
    EXPECT_EQ(registers.rax, 6u);
    EXPECT_EQ(registers.rflags & kZero, 0u);
}

TEST(EmulateStore, OtherInstructionsAreRefused) {
    const auto emulation = emulate_entry_store(decoded({0x0F, 0x32}), GuestRegisters{}, {}, {});
    EXPECT_TRUE(std::holds_alternative<Refuse>(emulation.action));
}

TEST(EmulateStore, ASingleStepIsDueAfterwards) {
    GuestRegisters registers{};
    registers.rdi = 0x1000;
    registers.rflags = kFlagTrap | kFlagResume;
    const auto emulation = emulate_entry_store(decoded({0x48, 0x89, 0x07}), registers, {}, {0x1000, 0, 0});
    EXPECT_TRUE(emulation.traps_after());
    emulation.finish(registers);
    EXPECT_EQ(registers.rflags, kFlagTrap);
}

}  // namespace
}  // namespace torii::pv
