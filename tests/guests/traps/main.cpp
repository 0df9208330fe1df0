// Exceptions as a PV kernel sees them.

#include <torii/guest/cpu.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

GUEST_TEST(trap_invalid_opcode, "ud2 raises #UD at the instruction itself") {
    const Caught caught = catch_trap([] { asm volatile("ud2"); });
    CHECK(caught.is(kVectorInvalidOpcode));
    CHECK_EQUAL(*reinterpret_cast<const uint16_t*>(caught.context.rip), 0x0B0F);
}

GUEST_TEST(trap_divide, "A division by zero raises #DE") {
    const Caught caught = catch_trap([] {
        asm volatile("xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx; div %%ecx" ::: "eax", "ecx", "edx");
    });
    CHECK(caught.is(kVectorDivide));
}

GUEST_TEST(trap_breakpoint, "int3 raises #BP behind the instruction") {
    const Caught caught = catch_trap([] { asm volatile("int3"); });
    CHECK(caught.is(kVectorBreakpoint));
    CHECK_EQUAL(*reinterpret_cast<const uint8_t*>(caught.context.rip - 1), 0xCC);
}

GUEST_TEST(trap_frame, "The frame shows kernel mode, the flags and the stack of the moment") {
    uint64_t stack = 0;
    const Caught caught = catch_trap([&] { asm volatile("mov %%rsp, %0; stc; ud2" : "=m"(stack)); });
    CHECK_EQUAL(caught.context.cs & 0xFFFF, kKernelCs);
    CHECK_EQUAL(caught.context.ss, kKernelSs);
    CHECK_EQUAL(caught.context.rsp, stack);
    CHECK_EQUAL(caught.context.rflags & 0x3001, 1u);  // carry set, no IOPL
    // Upcalls are masked now: so says the flag in the frame, and so does rflags.IF.
    CHECK_EQUAL(caught.context.cs >> 32 & 0xFF, 1u);
    CHECK_EQUAL(caught.context.rflags & 0x200, 0u);
}

GUEST_TEST(trap_frame_unmasked, "With upcalls unmasked the frame's IF is set") {
    vcpu_info().evtchn_upcall_mask = 0;
    const Caught caught = catch_trap([] { asm volatile("ud2"); });
    const uint8_t after = vcpu_info().evtchn_upcall_mask;
    vcpu_info().evtchn_upcall_mask = 1;
    CHECK_EQUAL(caught.context.rflags & 0x200, 0x200u);
    CHECK_EQUAL(caught.context.cs >> 32 & 0xFF, 0u);
    CHECK_EQUAL(after, 0);
}

GUEST_TEST(trap_page_fault_read, "A read of what is not there: no error bits, address in vcpu_info") {
    const Caught caught = catch_trap([] { (void)*reinterpret_cast<volatile uint64_t*>(0x1234'5000); });
    CHECK(caught.is(kVectorPageFault, 0));  // kernel mode, though the CPU ran in ring 3
    CHECK_EQUAL(caught.cr2, 0x1234'5000u);
}

GUEST_TEST(trap_page_fault_write, "A write to a read-only page: protection and write bits") {
    Page* page = allocate_page();
    CHECK_SUCCEEDS(map_read_only(page));
    const Caught caught = catch_trap([&] { reinterpret_cast<volatile uint64_t*>(page)[1] = 1; });
    CHECK(caught.happened && caught.context.vector == kVectorPageFault);
    CHECK_EQUAL(caught.context.error_code & 3, 3u);
    CHECK_EQUAL(caught.cr2, virtual_address(page) + 8);
    CHECK_SUCCEEDS(map_writable(page));
    CHECK_EQUAL(page->words[1], 0u);
    free_page(page);
}

GUEST_TEST(trap_no_execute, "A fetch from a page without execute permission faults") {
    constexpr uint32_t kExtendedFeatures = 0x8000'0001;
    if ((emulated_cpuid(kExtendedFeatures).edx & 1u << 20) == 0) return skip("no NX here");
    Page* page = allocate_page();
    *reinterpret_cast<uint8_t*>(page) = 0xC3;
    CHECK_SUCCEEDS(
        update_va_mapping(virtual_address(page), make_entry(mfn_of(page), kPtePage | kPteNoExecute)));
    const Caught caught = catch_trap([&] { reinterpret_cast<void (*)()>(page)(); });
    CHECK(caught.is(kVectorPageFault));
    CHECK_EQUAL(caught.context.error_code & 0x10, 0x10u);
    CHECK_SUCCEEDS(map_writable(page));
    const Caught allowed = catch_trap([&] { reinterpret_cast<void (*)()>(page)(); });
    CHECK(!allowed.happened);
    free_page(page);
}

GUEST_TEST(trap_non_canonical, "A non-canonical address raises #GP") {
    const Caught caught =
        catch_trap([] { (void)*reinterpret_cast<volatile uint64_t*>(0x8000'0000'0000'0000); });
    CHECK(caught.is(kVectorGeneralProtection, 0));
}

GUEST_TEST(trap_privileged, "Privileged instructions without emulation raise #GP") {
    CHECK(catch_trap([] { asm volatile("ltr %w0" : : "r"(0)); }).is(kVectorGeneralProtection));
    CHECK(catch_trap([] { asm volatile("lldt %w0" : : "r"(0)); }).is(kVectorGeneralProtection));
    CHECK(catch_trap([] { asm volatile("invlpg (%0)" : : "r"(0x1000)); }).is(kVectorGeneralProtection));
    uint8_t operand[10] = {};
    CHECK(catch_trap([&] { asm volatile("lgdt %0" : : "m"(operand)); }).is(kVectorGeneralProtection));
    CHECK(catch_trap([&] { asm volatile("lidt %0" : : "m"(operand)); }).is(kVectorGeneralProtection));
}

GUEST_TEST(trap_halt, "hlt raises #GP: sleeping is a hypercall") {
    CHECK(catch_trap([] { asm volatile("hlt"); }).is(kVectorGeneralProtection, 0));
}

GUEST_TEST(trap_software_interrupt, "int n in kernel mode enters the guest's own gate") {
    const Caught gate = catch_trap([] { asm volatile("int $0x80"); });
    CHECK(gate.is(kVectorSystemCall80));
    CHECK_EQUAL(*reinterpret_cast<const uint16_t*>(gate.context.rip - 2), 0x80CD);
}

GUEST_TEST(trap_single_step, "The trap flag raises #DB behind the next instruction") {
    const Caught caught = catch_trap([] {
        asm volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; nop" ::: "memory", "cc");
    });
    CHECK(caught.is(kVectorDebug));
}

GUEST_TEST(trap_flags, "cli and sti change nothing, popf cannot raise the I/O privilege level") {
    CHECK(!catch_trap([] { asm volatile("pushfq; popfq"); }).happened);
    const uint64_t before = read_flags();
    asm volatile("pushfq; orq $0x3000, (%%rsp); popfq" ::: "memory", "cc");
    CHECK_EQUAL(read_flags() & 0x3000, before & 0x3000);
}
