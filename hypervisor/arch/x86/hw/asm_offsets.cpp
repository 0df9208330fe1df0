// Structure offsets for the assembly. Compiled to text; the build turns each "->" line into a #define.
#include <cstddef>

#include "arch/x86/hw/cpu_local.h"

#pragma GCC diagnostic ignored "-Winvalid-offsetof"

#define OFFSET(name, value) asm volatile("\n.ascii \"->" #name " %0\"" : : "i"(value))

namespace torii::hw {

void offsets() {
    OFFSET(LOCAL_SCRATCH, offsetof(CpuLocal, scratch));
    OFFSET(LOCAL_STACK_TOP, offsetof(CpuLocal, stack_top));
    OFFSET(LOCAL_SYSCALL_TARGET, offsetof(CpuLocal, syscall_target));
    OFFSET(LOCAL_SYSCALL32_TARGET, offsetof(CpuLocal, syscall32_target));
    OFFSET(LOCAL_HYPERVISOR_CR3, offsetof(CpuLocal, hypervisor_cr3));
    OFFSET(LOCAL_GUEST_CR3, offsetof(CpuLocal, guest_cr3));
    OFFSET(LOCAL_VIEW_STAMP, offsetof(CpuLocal, view_stamp));
    OFFSET(LOCAL_EXIT_FRAME, offsetof(CpuLocal, exit_frame));
    OFFSET(FRAME_SIZE, sizeof(pv::GuestRegisters));
    OFFSET(FRAME_RAX, offsetof(pv::GuestRegisters, rax));
    OFFSET(FRAME_RIP, offsetof(pv::GuestRegisters, rip));
    OFFSET(FRAME_CS, offsetof(pv::GuestRegisters, cs));
    OFFSET(FRAME_VECTOR, offsetof(pv::GuestRegisters, entry_vector));
    OFFSET(ENTRY_IN_KERNEL_MODE, offsetof(Vcpu, entry) + offsetof(pv::PvEntryState, in_kernel_mode));
    OFFSET(ENTRY_EXIT_WORK, offsetof(Vcpu, entry) + offsetof(pv::PvEntryState, exit_work));
    OFFSET(VCPU_INFO, offsetof(Vcpu, events) + offsetof(EventVcpu, info));
}

}  // namespace torii::hw
