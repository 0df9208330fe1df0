#pragma once
// Traps, registers and segments of a 64-bit PV virtual CPU (public arch-x86/xen.h, arch-x86/xen-x86_64.h).

#include <cstddef>
#include <cstdint>

namespace torii::abi {

// Flat selectors that the hypervisor's part of the GDT offers.
inline constexpr uint16_t kFlatRing3Cs32 = 0xE023;
inline constexpr uint16_t kFlatRing3Cs64 = 0xE033;
inline constexpr uint16_t kFlatRing3Ds32 = 0xE02B;
inline constexpr uint16_t kFlatRing3Ds64 = 0x0000;
inline constexpr uint16_t kFlatRing3Ss32 = 0xE02B;
inline constexpr uint16_t kFlatRing3Ss64 = 0xE02B;

// A guest may fill 14 pages of GDT; what follows belongs to the hypervisor.
inline constexpr unsigned kFirstReservedGdtPage = 14;
inline constexpr unsigned kFirstReservedGdtByte = kFirstReservedGdtPage * 4096;
inline constexpr unsigned kFirstReservedGdtEntry = kFirstReservedGdtByte / 8;

// set_trap_table takes an array that ends with an entry whose address is zero; a null array clears the table.
struct TrapInfo {
    uint8_t vector;
    uint8_t flags;  // bits 0-1: ring that may raise it by software; bit 2: mask events on entry
    uint16_t cs;
    uint32_t padding;
    uint64_t address;
};
inline constexpr uint8_t kTrapDplMask = 3;
inline constexpr uint8_t kTrapMaskEvents = 4;

// What a guest leaves at its stack pointer for hypercall iret.
struct IretContext {
    uint64_t rax;
    uint64_t r11;
    uint64_t rcx;
    uint64_t flags;  // kVgcfInSyscall: rcx and r11 need not be restored
    uint64_t rip;
    uint64_t cs;
    uint64_t rflags;
    uint64_t rsp;
    uint64_t ss;
};

// What the hypervisor pushes on the guest's kernel stack for a trap, from the lowest address up: rcx, r11,
// then for traps that have one the error code, then rip, cs (bits 32-39: the event mask at the time), rflags,
// rsp, ss. The failsafe callback has four words between r11 and rip: ds, es, fs, gs.
struct TrapFrame {
    uint64_t rcx;
    uint64_t r11;
    uint64_t rip;
    uint64_t cs;
    uint64_t rflags;
    uint64_t rsp;
    uint64_t ss;
};

enum class SegmentBase : uint32_t {
    kFs = 0,
    kGsUser = 1,
    kGsKernel = 2,
    kGsUserSelector = 3,  // loads the selector into the user gs and takes its base from the descriptor
};

struct CpuUserRegs {
    uint64_t r15;
    uint64_t r14;
    uint64_t r13;
    uint64_t r12;
    uint64_t rbp;
    uint64_t rbx;
    uint64_t r11;
    uint64_t r10;
    uint64_t r9;
    uint64_t r8;
    uint64_t rax;
    uint64_t rcx;
    uint64_t rdx;
    uint64_t rsi;
    uint64_t rdi;
    uint32_t error_code;
    uint32_t entry_vector;
    uint64_t rip;
    uint16_t cs;
    uint16_t pad0;
    uint8_t saved_upcall_mask;
    uint8_t pad1[3];
    uint64_t rflags;
    uint64_t rsp;
    uint16_t ss;
    uint16_t pad2[3];
    uint16_t es;
    uint16_t pad3[3];
    uint16_t ds;
    uint16_t pad4[3];
    uint16_t fs;
    uint16_t pad5[3];
    uint16_t gs;
    uint16_t pad6[3];
};

// VcpuGuestContext::flags
inline constexpr uint64_t kVgcfI387Valid = 1u << 0;
inline constexpr uint64_t kVgcfInKernel = 1u << 2;
inline constexpr uint64_t kVgcfFailsafeDisablesEvents = 1u << 3;
inline constexpr uint64_t kVgcfSyscallDisablesEvents = 1u << 4;
inline constexpr uint64_t kVgcfOnline = 1u << 5;
inline constexpr uint64_t kVgcfInSyscall = 1u << 8;  // also IretContext::flags

struct VcpuGuestContext {
    uint8_t fpu_ctxt[512];  // FXSAVE image
    uint64_t flags;
    CpuUserRegs user_regs;
    TrapInfo trap_ctxt[256];
    uint64_t ldt_base;
    uint64_t ldt_ents;
    uint64_t gdt_frames[16];
    uint64_t gdt_ents;
    uint64_t kernel_ss;
    uint64_t kernel_sp;
    uint64_t ctrlreg[8];  // [1] holds the user-mode cr3, [3] the kernel's
    uint64_t debugreg[8];
    uint64_t event_callback_eip;
    uint64_t failsafe_callback_eip;
    uint64_t syscall_callback_eip;
    uint64_t vm_assist;
    uint64_t fs_base;
    uint64_t gs_base_kernel;
    uint64_t gs_base_user;
};

// A frame number as it stands in a cr3 field of a 64-bit guest.
constexpr uint64_t cr3_from_mfn(uint64_t mfn) {
    return mfn << 12;
}
constexpr uint64_t mfn_from_cr3(uint64_t cr3) {
    return cr3 >> 12;
}

// The bytes before `cpuid` that ask for the emulated answer: ud2, then the letters "xen".
inline constexpr uint8_t kForcedEmulationPrefix[5] = {0x0F, 0x0B, 0x78, 0x65, 0x6E};

// xen_cpuid_leaf_t
struct CpuidLeafEntry {
    uint32_t leaf;
    uint32_t subleaf;  // kCpuidNoSubleaf when the leaf has none
    uint32_t a;
    uint32_t b;
    uint32_t c;
    uint32_t d;
};
inline constexpr uint32_t kCpuidNoSubleaf = 0xFFFF'FFFF;

// xen_msr_entry_t
struct MsrEntry {
    uint32_t idx;
    uint32_t flags;  // zero
    uint64_t val;
};

// xen_arch_domainconfig (tools only)
struct ArchDomainConfig {
    uint32_t emulation_flags;  // zero for PV apart from kX86EmulatePit
    uint32_t misc_flags;
};
inline constexpr uint32_t kX86EmulateLapic = 1u << 0;
inline constexpr uint32_t kX86EmulateHpet = 1u << 1;
inline constexpr uint32_t kX86EmulatePm = 1u << 2;
inline constexpr uint32_t kX86EmulateRtc = 1u << 3;
inline constexpr uint32_t kX86EmulateIoapic = 1u << 4;
inline constexpr uint32_t kX86EmulatePic = 1u << 5;
inline constexpr uint32_t kX86EmulateVga = 1u << 6;
inline constexpr uint32_t kX86EmulateIommu = 1u << 7;
inline constexpr uint32_t kX86EmulatePit = 1u << 8;
inline constexpr uint32_t kX86EmulateUsePirq = 1u << 9;
inline constexpr uint32_t kX86EmulateVpci = 1u << 10;
inline constexpr uint32_t kX86EmulateAll = (1u << 11) - 1;
inline constexpr uint32_t kX86MsrRelaxed = 1u << 0;

}  // namespace torii::abi
