// Ways in which a guest ends its own domain, and nothing else. Each runs alone, by name; what follows is read
// from the hypervisor's console and from the control domain.

#include <torii/guest/cpu.h>
#include <torii/guest/events.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

DESTRUCTIVE_GUEST_TEST(end_crash, "A guest that reports its own crash") {
    shutdown(abi::ShutdownReason::kCrash);
}

DESTRUCTIVE_GUEST_TEST(end_no_handler, "A fault without a handler: the triple fault of a PV guest") {
    set_trap_table(nullptr);
    *reinterpret_cast<volatile uint64_t*>(kNeverMapped) = 1;
}

DESTRUCTIVE_GUEST_TEST(end_bad_table,
                       "A store to a page table that would map it writable, and no handler for the fault") {
    constexpr unsigned kSlot = 6;
    const ScratchMapping mapping = make_scratch_mapping(kSlot, 0);
    const uint64_t entry = make_entry(mfn_of(mapping.l1), kPtePage);
    set_trap_table(nullptr);
    *const_cast<volatile uint64_t*>(&mapping.l1->words[0]) = entry;
}

DESTRUCTIVE_GUEST_TEST(end_bad_stack, "A fault whose frame cannot be written") {
    asm volatile("xor %%esp, %%esp; ud2" ::: "memory");
}

DESTRUCTIVE_GUEST_TEST(end_bad_kernel_stack, "A trap from user mode onto a kernel stack that is not there") {
    prepare_user_mode();
    stack_switch(kKernelSs, kNeverMapped);
    static const uint8_t code[] = {0x0F, 0x0B};
    enter_user_mode(virtual_address(code), virtual_base());
}

DESTRUCTIVE_GUEST_TEST(end_no_user_table, "iret to user mode without a user page table") {
    abi::MmuextOp op{};
    op.cmd = static_cast<uint32_t>(abi::MmuextOpCommand::kNewUserBaseptr);
    mmuext_op(&op, 1);
    static const uint8_t code[] = {0x0F, 0x0B};
    enter_user_mode(virtual_address(code), virtual_base());
}

DESTRUCTIVE_GUEST_TEST(end_iret_unreadable, "iret with a frame that is not there") {
    asm volatile("mov %0, %%rsp; mov $23, %%eax; syscall" : : "r"(kNeverMapped) : "memory");
}

DESTRUCTIVE_GUEST_TEST(end_event_stack, "An upcall whose frame cannot be written") {
    handle_event(static_cast<RawPort>(bind_virq(abi::Virq::kTimer)), [](RawPort, void*) {});
    hypercall(abi::Hypercall::kSetTimerOp, system_time() + 20'000'000);
    // Upcalls are let in once the stack is gone: however late that is, none comes before. The calls are for
    // one that has waited, which the hypervisor sees on their way out.
    asm volatile("mov %0, %%rsp; movb $0, %1\n1: mov %2, %%eax; xor %%edi, %%edi; syscall; jmp 1b"
                 :
                 : "r"(kNeverMapped), "m"(vcpu_info().evtchn_upcall_mask),
                   "i"(static_cast<uint32_t>(abi::Hypercall::kXenVersion))
                 : "memory");
}
