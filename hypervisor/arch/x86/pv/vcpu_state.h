// What a paravirtual vCPU is made of, as data. The entry code reads `PvEntryState` by offsets that
// arch/x86/hw/asm_offsets.cpp generates from it.
#pragma once

#include <torii/abi/shared_info.h>
#include <torii/abi/trap.h>

#include "base/frame.h"
#include "base/ids.h"

namespace torii::pv {

// The guest's registers at the moment it entered the hypervisor; lies at the top of the vCPU's own stack. The
// order is that of the entry code's pushes, and of the public CpuUserRegs.
struct GuestRegisters {
    uint64_t r15, r14, r13, r12, rbp, rbx;
    uint64_t r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    uint32_t error_code;
    uint32_t entry_vector;
    uint64_t rip, cs, rflags, rsp, ss;
};

inline constexpr uint64_t kFlagCarry = 1u << 0;
inline constexpr uint64_t kFlagTrap = 1u << 8;
inline constexpr uint64_t kFlagInterrupt = 1u << 9;
inline constexpr uint64_t kFlagDirection = 1u << 10;
inline constexpr uint64_t kFlagIopl = 3u << 12;
inline constexpr uint64_t kFlagNestedTask = 1u << 14;
inline constexpr uint64_t kFlagResume = 1u << 16;
inline constexpr uint64_t kFlagVm86 = 1u << 17;
inline constexpr uint64_t kFlagAlignment = 1u << 18;

inline constexpr unsigned kVectors = 256;

inline constexpr unsigned kLdtPages = 16;

struct TrapGate {
    uint64_t address = 0;  // zero: no handler
    uint16_t cs = 0;
    uint8_t flags = 0;  // abi::kTrapDplMask, abi::kTrapMaskEvents
};

// What the assembly reads and writes on the way of a system call.
struct PvEntryState {
    uint64_t kernel_cr3 = 0;
    uint64_t user_cr3 = 0;
    uint64_t kernel_sp = 0;         // validated: canonical and outside the hypervisor's area
    uint64_t syscall_callback = 0;  // zero: none

    uint8_t in_kernel_mode = 1;  // guest kernel rather than guest user; both run in ring 3
    uint8_t syscall_masks_events = 0;
    // The exit path has more to look at than the upcall flags (see core/domain/vcpu.h). It reads this byte
    // and the next as one word.
    uint8_t exit_work = 0;
    uint8_t isolated = 0;  // the guest runs on a view of its tables (arch/x86/hw/guest_view.h)
    uint32_t padding = 0;
};

struct PvVcpu {
    GuestRegisters* registers = nullptr;  // top of the vCPU's stack
    void* stack = nullptr;                // its lowest address
    uint64_t stack_pointer = 0;           // while another runs
    TrapGate* gates = nullptr;            // kVectors of them

    uint64_t event_callback = 0;
    uint64_t failsafe_callback = 0;
    uint64_t syscall32_callback = 0;
    uint64_t sysenter_callback = 0;
    uint64_t nmi_callback = 0;
    uint16_t kernel_ss = 0;
    bool failsafe_masks_events = false;
    bool syscall32_masks_events = false;
    bool sysenter_masks_events = false;
    bool nmi_pending = false;
    bool nmi_masked = false;

    Mfn kernel_root{};  // frames behind kernel_cr3 and user_cr3, each holding a reference; 0: none
    Mfn user_root{};

    Mfn gdt_frames[abi::kFirstReservedGdtPage]{};
    uint32_t gdt_entries = 0;
    uint64_t ldt_base = 0;
    uint32_t ldt_entries = 0;
    Mfn ldt_frames[kLdtPages]{};  // pages faulted in, each holding references as a descriptor page; 0: not
                                  // yet

    uint16_t ds = 0, es = 0, fs = 0, gs = 0;
    uint64_t fs_base = 0;
    uint64_t gs_base_kernel = 0;
    uint64_t gs_base_user = 0;

    uint64_t debug_registers[8]{};
    uint32_t iopl = 0;
    bool iopl_in_flags = false;  // VMASST architectural_iopl: the guest sees its I/O privilege in rflags
    uint64_t io_bitmap = 0;      // guest address of the bitmap, zero: none
    uint32_t io_bitmap_ports = 0;

    uint64_t cr2 = 0;
    uint64_t cr4 = 0;
    bool task_switched = false;  // CR0.TS as the guest set it
    uint64_t xcr0 = 3;           // x87 and SSE, with which Xen starts a vCPU too
    uint32_t tsc_aux = 0;
    void* fpu_area = nullptr;
};

}  // namespace torii::pv
