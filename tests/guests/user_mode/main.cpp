// User mode: the way in by iret, and every way out.

#include <torii/guest/cpu.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

// Code that runs in user mode.
asm(R"(
        .pushsection .text
user_undefined:     ud2
user_system_call:   mov $0x77, %eax
                    xor %edi, %edi
                    syscall
user_after_call:    ud2
user_interrupt_80:  int $0x80
user_interrupt_21:  int $0x21
user_breakpoint:    int3
user_read_nothing:  mov 0x70001000, %rax
user_privileged:    hlt
user_read_gs:       mov %gs:0, %rax
                    ud2
user_read_msr:      mov $0xC0000100, %ecx
                    rdmsr
user_read_cr0:      mov %cr0, %rax
                    ud2
user_port:          in $0x80, %al
                    ud2
user_prefix_cpuid:  mov $0x40000000, %eax
                    .byte 0x0F, 0x0B, 0x78, 0x65, 0x6E
                    cpuid
                    ud2
user_touch_m2p:     movabs 0xFFFF800000000000, %rax
                    ud2
        .popsection
)");
extern "C" {
extern const uint8_t user_undefined[], user_system_call[], user_after_call[], user_interrupt_80[],
    user_interrupt_21[], user_breakpoint[], user_read_nothing[], user_privileged[], user_read_gs[],
    user_read_msr[], user_read_cr0[], user_port[], user_prefix_cpuid[], user_touch_m2p[];
}

GUEST_TEST(user_trap, "A trap from user mode shows user selectors and runs on the kernel's stack") {
    const Caught caught = run_in_user_mode(user_undefined);
    CHECK(caught.is(kVectorInvalidOpcode));
    CHECK_EQUAL(caught.context.rip, virtual_address(user_undefined));
    CHECK_EQUAL(caught.context.cs & 0xFFFF, abi::kFlatRing3Cs64);
    CHECK_EQUAL(caught.context.ss, abi::kFlatRing3Ss64);
    CHECK(caught.context.from_user_mode());
    CHECK_EQUAL(caught.context.rflags & 0x200, 0x200u);
}

GUEST_TEST(user_syscall, "syscall in user mode enters the guest's kernel, never the hypervisor") {
    const Caught caught = run_in_user_mode(user_system_call);
    CHECK(caught.is(kVectorSyscall));
    CHECK_EQUAL(caught.context.rax, 0x77u);
    CHECK_EQUAL(caught.context.rip, virtual_address(user_after_call));
    CHECK_EQUAL(caught.context.rcx, virtual_address(user_after_call));
    CHECK(caught.context.from_user_mode());
}

GUEST_TEST(user_interrupts,
           "int $0x80 enters its gate; one without permission raises #GP with the vector's code") {
    CHECK(run_in_user_mode(user_interrupt_80).is(kVectorSystemCall80));
    const Caught refused = run_in_user_mode(user_interrupt_21);
    CHECK(refused.is(kVectorGeneralProtection));
    // 8 * vector + 2 by the manual; QEMU's software CPU has entries of 16 bytes in mind.
    CHECK(refused.context.error_code == 0x21 * 8 + 2 || refused.context.error_code == 0x21 * 16 + 2);
    CHECK(run_in_user_mode(user_breakpoint).is(kVectorBreakpoint));
}

GUEST_TEST(user_page_fault, "A fault in user mode carries the user bit") {
    const Caught caught = run_in_user_mode(user_read_nothing);
    CHECK(caught.is(kVectorPageFault, 4));
    CHECK_EQUAL(caught.cr2, kNeverMapped);
}

GUEST_TEST(user_privileged, "What the kernel may have emulated, user mode may not") {
    CHECK(run_in_user_mode(user_privileged).is(kVectorGeneralProtection, 0));
    CHECK(run_in_user_mode(user_read_msr).is(kVectorGeneralProtection, 0));
    CHECK(run_in_user_mode(user_read_cr0).is(kVectorGeneralProtection, 0));
    CHECK(run_in_user_mode(user_port).is(kVectorGeneralProtection, 0));
}

GUEST_TEST(user_cpuid, "The forced-emulation prefix works in user mode too") {
    const Caught caught = run_in_user_mode(user_prefix_cpuid);
    CHECK(caught.is(kVectorInvalidOpcode));
    CHECK_EQUAL(caught.context.rbx & 0xFFFF'FFFF, 0x566E'6558u);
}

GUEST_TEST(user_gs, "User mode runs on the user's GS base, the kernel on its own") {
    static const uint64_t user_word = 0xABCD;
    static const uint64_t kernel_word = 0x1234;
    CHECK_SUCCEEDS(set_segment_base(abi::SegmentBase::kGsUser, virtual_address(&user_word)));
    CHECK_SUCCEEDS(set_segment_base(abi::SegmentBase::kGsKernel, virtual_address(&kernel_word)));
    const Caught caught = run_in_user_mode(user_read_gs);
    CHECK(caught.is(kVectorInvalidOpcode));
    CHECK_EQUAL(caught.context.rax, user_word);
    uint64_t in_kernel = 0;
    asm volatile("mov %%gs:0, %0" : "=r"(in_kernel));
    CHECK_EQUAL(in_kernel, kernel_word);
    CHECK_SUCCEEDS(set_segment_base(abi::SegmentBase::kGsUser, 0));
    CHECK_SUCCEEDS(set_segment_base(abi::SegmentBase::kGsKernel, 0));
}

GUEST_TEST(user_flags, "User mode cannot be given an I/O privilege level") {
    const Caught caught = run_in_user_mode(user_undefined, 0x3202);
    CHECK_EQUAL(caught.context.rflags & 0x3000, 0u);
}
