#include "arch/x86/pv/emulate.h"

#include <gtest/gtest.h>

namespace torii::pv {
namespace {

Instruction decoded(std::initializer_list<uint8_t> bytes) {
    return decode(std::span<const uint8_t>(bytes.begin(), bytes.size())).take();
}

class Emulate : public testing::Test {
protected:
    Emulate() {
        state.kernel_mode = true;
        registers.rip = 0x1000;
    }
    Emulation run(std::initializer_list<uint8_t> bytes) {
        return emulate_privileged(decoded(bytes), registers, state);
    }
    template <class T>
    T action(std::initializer_list<uint8_t> bytes) {
        const Emulation emulation = run(bytes);
        const T* found = std::get_if<T>(&emulation.action);
        if (found == nullptr) {
            ADD_FAILURE() << "another action: " << emulation.action.index();
            return T{};
        }
        return *found;
    }
    FaultVector refusal(std::initializer_list<uint8_t> bytes) { return action<Refuse>(bytes).vector; }

    GuestRegisters registers{};
    PrivilegedState state;
};

TEST_F(Emulate, ModelSpecificRegisters) {
    registers.rcx = 0xFFFF'FFFF'C000'0080;
    registers.rax = 0x1'2345'6789;
    registers.rdx = 0xA'0000'0001;
    EXPECT_EQ(action<ReadMsr>({0x0F, 0x32}).index, 0xC000'0080u);
    EXPECT_EQ(action<WriteMsr>({0x0F, 0x30}).value, 0x0000'0001'2345'6789u);
    run({0x0F, 0x32}).finish(registers, 0x1122'3344'5566'7788);
    EXPECT_EQ(registers.rax, 0x5566'7788u);
    EXPECT_EQ(registers.rdx, 0x1122'3344u);
    EXPECT_EQ(registers.rip, 0x1002u);
}

TEST_F(Emulate, UserModeHasNoPrivileges) {
    state.kernel_mode = false;
    EXPECT_EQ(refusal({0x0F, 0x32}), FaultVector::kGeneralProtection);
    EXPECT_EQ(refusal({0x0F, 0x20, 0xC0}), FaultVector::kGeneralProtection);
    EXPECT_EQ(refusal({0xF4}), FaultVector::kGeneralProtection);
    EXPECT_EQ(refusal({0x0F, 0x09}), FaultVector::kGeneralProtection);
    EXPECT_EQ(refusal({0x0F, 0x01, 0xD1}), FaultVector::kGeneralProtection);
    action<Cpuid>({0x0F, 0xA2});
    action<ReadTsc>({0x0F, 0x31});
    state.cr4 |= kCr4Tsd;
    EXPECT_EQ(refusal({0x0F, 0x31}), FaultVector::kGeneralProtection);
}

// Values as Xen 4.17 gives them to a guest.
TEST_F(Emulate, ControlRegisters) {
    run({0x0F, 0x20, 0xC3}).finish(registers);  // mov %cr0, %rbx
    EXPECT_EQ(registers.rbx, 0x8005'0033u);
    state.task_switched = true;
    run({0x0F, 0x20, 0xC3}).finish(registers);
    EXPECT_EQ(registers.rbx, 0x8005'003Bu);
    EXPECT_TRUE(action<SetTaskSwitched>({0x0F, 0x22, 0xC3}).value);
    registers.rbx = 0x8005'0033;
    EXPECT_FALSE(action<SetTaskSwitched>({0x0F, 0x22, 0xC3}).value);
    EXPECT_FALSE(action<SetTaskSwitched>({0x0F, 0x06}).value);
    for (const unsigned bit : {0u, 1u, 2u, 4u, 5u, 16u, 18u, 29u, 30u, 31u}) {
        registers.rbx = 0x8005'0033 ^ (1u << bit);
        EXPECT_EQ(refusal({0x0F, 0x22, 0xC3}), FaultVector::kGeneralProtection) << bit;
    }
    state.cr2 = 0x1234;
    run({0x0F, 0x20, 0xD0}).finish(registers);
    EXPECT_EQ(registers.rax, 0x1234u);
    state.cr3 = 0x3E99'9000;
    run({0x41, 0x0F, 0x20, 0xD8}).finish(registers);  // mov %cr3, %r8
    EXPECT_EQ(registers.r8, 0x3E99'9000u);
    EXPECT_EQ(action<WriteCr3>({0x41, 0x0F, 0x22, 0xD8}).value, 0x3E99'9000u);
    EXPECT_EQ(refusal({0x44, 0x0F, 0x20, 0xC0}), FaultVector::kGeneralProtection);  // cr8
}

TEST_F(Emulate, Cr4ChangesOnlyInWhatAGuestGoverns) {
    EXPECT_EQ(kInitialGuestCr4, 0x660u);
    for (unsigned bit = 0; bit < 64; ++bit) {
        const uint64_t flipped = kInitialGuestCr4 ^ uint64_t { 1 } << bit;
        const bool plain = bit == 2 || bit == 3;
        EXPECT_EQ(guest_cr4_after_write(kInitialGuestCr4, flipped, false, false),
                  plain ? flipped : kInitialGuestCr4);
        const bool more = plain || bit == 16 || bit == 18;
        EXPECT_EQ(guest_cr4_after_write(kInitialGuestCr4, flipped, true, true),
                  more ? flipped : kInitialGuestCr4);
    }
    registers.rax = ~uint64_t{0};
    EXPECT_EQ(action<WriteCr4>({0x0F, 0x22, 0xE0}).value, 0x66Cu);
}

TEST_F(Emulate, ExtendedControlRegister) {
    registers.rax = 7;
    EXPECT_EQ(refusal({0x0F, 0x01, 0xD1}), FaultVector::kInvalidOpcode);
    state.cr4 |= kCr4Osxsave;
    EXPECT_EQ(refusal({0x0F, 0x01, 0xD1}), FaultVector::kGeneralProtection);
    state.xcr0_offered = 0xE7;
    EXPECT_EQ(action<SetXcr0>({0x0F, 0x01, 0xD1}).value, 7u);
    registers.rcx = 1;
    EXPECT_EQ(refusal({0x0F, 0x01, 0xD1}), FaultVector::kGeneralProtection);
}

TEST(Xcr0, OnlyCombinationsThatACpuTakes) {
    for (const uint64_t good : {0x1, 0x3, 0x7, 0xE7})
        EXPECT_TRUE(is_valid_xcr0(good, 0xE7)) << good;
    for (const uint64_t bad : {0x0, 0x2, 0x5, 0x6, 0x9, 0x27, 0x67, 0xE3, 0xE1, 0x207})
        EXPECT_FALSE(is_valid_xcr0(bad, 0xE7)) << bad;
    EXPECT_FALSE(is_valid_xcr0(uint64_t{1} << 63 | 1, ~uint64_t{0} >> 1));
    EXPECT_FALSE(is_valid_xcr0(7, 3));
}

TEST_F(Emulate, DebugRegisters) {
    registers.rsi = 0x4711;
    const auto write = action<WriteDebug>({0x0F, 0x23, 0xFE});  // mov %rsi, %dr7
    EXPECT_EQ(write.number, 7u);
    EXPECT_EQ(write.value, 0x4711u);
    EXPECT_EQ(action<ReadDebug>({0x0F, 0x21, 0xE0}).number, 6u);  // dr4
    run({0x0F, 0x21, 0xE0}).finish(registers, 0xFFFF'0FF0);
    EXPECT_EQ(registers.rax, 0xFFFF'0FF0u);
    state.cr4 |= kCr4De;
    EXPECT_EQ(refusal({0x0F, 0x21, 0xE0}), FaultVector::kInvalidOpcode);
}

TEST_F(Emulate, InterruptFlagNeedsIoPrivilege) {
    EXPECT_EQ(refusal({0xFA}), FaultVector::kGeneralProtection);
    EXPECT_EQ(refusal({0xFB}), FaultVector::kGeneralProtection);
    state.iopl = 1;
    action<Proceed>({0xFA});
    state.kernel_mode = false;
    EXPECT_EQ(refusal({0xFA}), FaultVector::kGeneralProtection);
    state.iopl = 3;
    action<Proceed>({0xFB});
}

TEST_F(Emulate, Ports) {
    registers.rdx = 0xFFFF'0CFC;
    registers.rax = 0xAABB'CCDD'EEFF'1122;
    auto read = action<ReadPort>({0xED}).access;
    EXPECT_EQ(read.port, 0xCFC);
    EXPECT_EQ(read.width, 4);
    EXPECT_TRUE(read.by_bitmap);
    state.iopl = 1;
    EXPECT_FALSE(action<ReadPort>({0xE4, 0x71}).access.by_bitmap);
    EXPECT_EQ(action<ReadPort>({0xE4, 0xF1}).access.port, 0xF1);
    EXPECT_EQ(action<WritePort>({0xE6, 0x80}).value, 0x22u);
    EXPECT_EQ(action<WritePort>({0x66, 0xEF}).value, 0x1122u);
    EXPECT_EQ(action<WritePort>({0xEF}).value, 0xEEFF'1122u);

    GuestRegisters after = registers;
    run({0xEC}).finish(after, 0xFFFF'FF44);
    EXPECT_EQ(after.rax, 0xAABB'CCDD'EEFF'1144u);
    after = registers;
    run({0xED}).finish(after, 0x5566'7788);
    EXPECT_EQ(after.rax, 0x5566'7788u);
}

TEST_F(Emulate, PortStrings) {
    state.iopl = 1;
    state.bases.gs = 0x10'0000;
    registers.rdx = 0x1F0;
    registers.rdi = 0x2000;
    registers.rsi = 0x3000;
    registers.rcx = 2;
    const auto in = action<ReadPortToMemory>({0xF3, 0x66, 0x6D});  // rep insw
    EXPECT_EQ(in.address, 0x2000u);
    EXPECT_EQ(in.access.width, 2);
    run({0xF3, 0x66, 0x6D}).finish(registers);
    EXPECT_EQ(registers.rip, 0x1000u);
    EXPECT_EQ(registers.rdi, 0x2002u);
    EXPECT_EQ(registers.rcx, 1u);
    registers.rflags = kFlagDirection;
    run({0xF3, 0x66, 0x6D}).finish(registers);
    EXPECT_EQ(registers.rip, 0x1003u);
    EXPECT_EQ(registers.rdi, 0x2000u);
    registers.rip = 0x1000;
    action<Proceed>({0xF3, 0x66, 0x6D});
    run({0xF3, 0x66, 0x6D}).finish(registers);
    EXPECT_EQ(registers.rip, 0x1003u);
    EXPECT_EQ(registers.rdi, 0x2000u);
    EXPECT_EQ(action<WritePortFromMemory>({0x65, 0x6E}).address, 0x10'3000u);
    registers.rsi = 0xFFFF'FFFF'0000'0010;
    EXPECT_EQ(action<WritePortFromMemory>({0x67, 0x6E}).address, 0x10u);
}

TEST(IoBitmap, EveryPortOfTheAccessCounts) {
    EXPECT_TRUE(bitmap_allows(0xFFF0, {0x400, 4, true}));
    EXPECT_FALSE(bitmap_allows(0xFF1F, {0x401, 4, true}));
    EXPECT_TRUE(bitmap_allows(0xFE7F, {0x407, 2, true}));
    EXPECT_FALSE(bitmap_allows(0xFF7F, {0x407, 2, true}));
}

TEST_F(Emulate, CpuidPlacesFourRegisters) {
    registers.rax = 0xFFFF'FFFF'0000'0007;
    registers.rcx = 1;
    const uint8_t bytes[] = {0x0F, 0x0B, 0x78, 0x65, 0x6E, 0x0F, 0xA2};
    const Emulation emulation = emulate_privileged(decode_forced_emulation(bytes).take(), registers, state);
    const auto* cpuid = std::get_if<Cpuid>(&emulation.action);
    ASSERT_NE(cpuid, nullptr);
    EXPECT_EQ(cpuid->leaf, 7u);
    EXPECT_EQ(cpuid->subleaf, 1u);
    emulation.finish_cpuid(registers, {1, 2, 3, 4});
    EXPECT_EQ(registers.rax, 1u);
    EXPECT_EQ(registers.rbx, 2u);
    EXPECT_EQ(registers.rcx, 3u);
    EXPECT_EQ(registers.rdx, 4u);
    EXPECT_EQ(registers.rip, 0x1007u);
}

TEST_F(Emulate, TimeStampCounter) {
    registers.rcx = 9;
    run({0x0F, 0x31}).finish_tsc(registers, 0x1'0000'0002, 5);
    EXPECT_EQ(registers.rax, 2u);
    EXPECT_EQ(registers.rdx, 1u);
    EXPECT_EQ(registers.rcx, 9u);
    registers.rip = 0;
    run({0x0F, 0x01, 0xF9}).finish_tsc(registers, 0x1'0000'0002, 5);
    EXPECT_EQ(registers.rcx, 5u);
    EXPECT_EQ(registers.rip, 3u);
}

TEST_F(Emulate, TheRest) {
    action<Block>({0xF4});
    action<FlushCaches>({0x0F, 0x09});
    EXPECT_EQ(refusal({0x0F, 0x33}), FaultVector::kGeneralProtection);  // rdpmc
    EXPECT_EQ(refusal({0x48, 0x89, 0x07}), FaultVector::kGeneralProtection);
}

}  // namespace
}  // namespace torii::pv
