// Handing control to a handler of the guest: what the hypervisor pushes on its stack, and where it goes on
// (public arch-x86/xen-x86_64.h).
#pragma once

#include "core/domain/domain.h"

namespace torii::pv {

inline constexpr unsigned kVectorDebug = 1;
inline constexpr unsigned kVectorNmi = 2;
inline constexpr unsigned kVectorBreakpoint = 3;
inline constexpr unsigned kVectorOverflow = 4;
inline constexpr unsigned kVectorInvalidOpcode = 6;
inline constexpr unsigned kVectorDeviceNotAvailable = 7;
inline constexpr unsigned kVectorDoubleFault = 8;
inline constexpr unsigned kVectorInvalidTss = 10;
inline constexpr unsigned kVectorSegmentNotPresent = 11;
inline constexpr unsigned kVectorStackFault = 12;
inline constexpr unsigned kVectorGeneralProtection = 13;
inline constexpr unsigned kVectorPageFault = 14;
inline constexpr unsigned kVectorAlignmentCheck = 17;
inline constexpr unsigned kVectorMachineCheck = 18;
inline constexpr unsigned kVectorSyscall = 0x100;  // entry_vector of a frame that came by `syscall`

// Whether the CPU pushes an error code for the vector, and so does the bounce frame.
constexpr bool has_error_code(unsigned vector) {
    constexpr uint32_t kWithCode =
        1u << 8 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17 | 1u << 21;
    return vector < 32 && ((kWithCode >> vector) & 1) != 0;
}

// Each of these makes the vCPU go on in the guest's handler, or kills the domain when there is none or its
// stack can't be written. `registers` is the vCPU's frame.
void deliver_exception(Vcpu& vcpu, GuestRegisters& registers, unsigned vector, uint32_t error_code);
void deliver_page_fault(Vcpu& vcpu, GuestRegisters& registers, uint64_t address, uint32_t error_code);
void deliver_upcall(Vcpu& vcpu, GuestRegisters& registers);
void deliver_nmi(Vcpu& vcpu, GuestRegisters& registers);
// The guest's own `syscall` from user mode, when the assembly's short way doesn't apply.
void deliver_syscall(Vcpu& vcpu, GuestRegisters& registers);
// The same from 32-bit code; an illegal instruction where the guest has no handler for it.
void deliver_syscall32(Vcpu& vcpu, GuestRegisters& registers);
// A segment register or an iret frame that the guest set up can't be loaded.
void deliver_failsafe(Vcpu& vcpu, GuestRegisters& registers);

// Guest kernel and guest user are both ring 3; changing the mode swaps GS base and page tables.
void enter_kernel_mode(Vcpu& vcpu);
void enter_user_mode(Vcpu& vcpu);

[[nodiscard]] bool upcalls_masked(const Vcpu& vcpu);
void mask_upcalls(const Vcpu& vcpu, bool masked);

}  // namespace torii::pv
