// C++ ends of the entry stubs (entry.S).
#include <cstring>

#include "arch/x86/hw/apic.h"
#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/crash.h"
#include "arch/x86/hw/interrupts.h"
#include "arch/x86/hw/registers.h"
#include "arch/x86/pv/address_space.h"
#include "arch/x86/pv/bounce.h"
#include "arch/x86/pv/faults.h"
#include "base/once.h"
#include "core/call/counters.h"
#include "core/call/dispatch.h"
#include "port/machine.h"

namespace torii::hw {
namespace {

struct FaultTableEntry {
    uint64_t instruction;
    uint64_t continuation;
};

extern "C" {
extern const FaultTableEntry fault_table_start[], fault_table_end[];
extern char guest_iretq[], isolated_iretq[], resume_isolated_iretq[];
}

constexpr unsigned kFirstInterruptVector = 32;
constexpr unsigned kVectorSyscall32Software = 0x80;

const FaultTableEntry* find_fault(uint64_t rip) {
    for (const FaultTableEntry* entry = fault_table_start; entry != fault_table_end; ++entry) {
        if (entry->instruction == rip) return entry;
    }
    return nullptr;
}

bool in_ldt_window(uint64_t address) {
    const uint64_t start = area_of(local().id) + TORII_AREA_LDT;
    return address >= start && address < start + pv::kLdtPages * kPageSize;
}

bool fault_in_ldt(Vcpu& vcpu, uint64_t address) {
    const auto page = static_cast<unsigned>((address - area_of(local().id) - TORII_AREA_LDT) >> kPageShift);
    return pv::fault_in_ldt_page(vcpu, page);
}

// The guest's own iret frame could not be loaded. The registers are the guest's by then; they and that frame
// become the vCPU's frame again, which the failsafe callback then gets.
pv::GuestRegisters* recover_from_bad_iret(const pv::GuestRegisters& r) {
    Vcpu& vcpu = *my_stack_top().vcpu;
    // A copy first: the rebuilt frame overlaps the one that the fault pushed.
    pv::GuestRegisters rebuilt = r;
    const uint32_t vector = r.entry_vector;
    const uint32_t error_code = r.error_code;
    uint64_t frame[5];
    memcpy(frame, reinterpret_cast<const void*>(r.rsp), sizeof(frame));
    rebuilt.rip = frame[0];
    rebuilt.cs = frame[1];
    rebuilt.rflags = frame[2];
    rebuilt.rsp = frame[3];
    rebuilt.ss = frame[4];
    rebuilt.entry_vector = 0;
    pv::GuestRegisters* const place = vcpu.pv.registers;
    *place = rebuilt;
    // The guest's kernel sees the fault where its iret was to lead, as on Xen.
    pv::deliver_exception(vcpu, *place, vector, error_code);
    return place;
}

}  // namespace

extern "C" {

void dispatch_hypercall(Vcpu* vcpu, pv::GuestRegisters* registers) {
    dispatch(*vcpu, *registers);
}

void on_guest_syscall(Vcpu* vcpu, pv::GuestRegisters* registers) {
    pv::deliver_syscall(*vcpu, *registers);
}

void on_guest_syscall32(Vcpu* vcpu, pv::GuestRegisters* registers) {
    pv::deliver_syscall32(*vcpu, *registers);
}

void on_upcall_due(Vcpu* vcpu, pv::GuestRegisters* registers) {
    pv::deliver_upcall(*vcpu, *registers);
}

void do_exit_work(Vcpu* vcpu, pv::GuestRegisters* registers) {
    const uint8_t work = __atomic_exchange_n(&vcpu->entry.exit_work, uint8_t{0}, __ATOMIC_ACQ_REL);
    report_nmis();
    if ((work & (kWorkStop | kWorkReschedule)) != 0) sched_reschedule();
    // One that comes while the guest handles another waits for its iret, which looks at nmi_pending.
    if ((work & kWorkNmi) != 0 && read_once(vcpu->pv.nmi_pending) && !vcpu->pv.nmi_masked)
        pv::deliver_nmi(*vcpu, *registers);
}

void on_guest_trap(Vcpu* vcpu, pv::GuestRegisters* registers) {
    const uint32_t vector = registers->entry_vector;
    if (vector == pv::kVectorPageFault) {
        const uint64_t address = read_cr2();
        count_trap(vector);
        if (in_ldt_window(address) && fault_in_ldt(*vcpu, address)) return;
        vcpu->trace.push(TraceKind::kTrap, static_cast<uint16_t>(vector), registers->rip, address,
                         vcpu->entry.in_kernel_mode != 0);
        pv::handle_page_fault(*vcpu, *registers, address, registers->error_code);
        return;
    }
    if (vector >= kFirstInterruptVector && vector != kVectorSyscall32Software) {
        handle_interrupt(vector);
        return;
    }
    count_trap(vector);
    vcpu->trace.push(TraceKind::kTrap, static_cast<uint16_t>(vector), registers->rip, registers->error_code,
                     vcpu->entry.in_kernel_mode != 0);
    pv::handle_exception(*vcpu, *registers, vector, registers->error_code);
}

// Returns the frame to go on with.
pv::GuestRegisters* on_hypervisor_trap(pv::GuestRegisters* registers) {
    pv::GuestRegisters& r = *registers;
    if (r.entry_vector >= kFirstInterruptVector) {
        handle_interrupt(r.entry_vector);
        return registers;
    }
    // A segment register or an iret frame names the LDT: the CPU reads it wherever it runs.
    if (r.entry_vector == pv::kVectorPageFault && in_ldt_window(read_cr2()) &&
        my_stack_top().vcpu != nullptr && fault_in_ldt(*my_stack_top().vcpu, read_cr2())) {
        // The trap led to the hypervisor's own tables: back to the guest's view first.
        if (r.rip == reinterpret_cast<uint64_t>(isolated_iretq))
            r.rip = reinterpret_cast<uint64_t>(resume_isolated_iretq);
        return registers;
    }
    if (r.rip == reinterpret_cast<uint64_t>(guest_iretq) ||
        r.rip == reinterpret_cast<uint64_t>(isolated_iretq))
        return recover_from_bad_iret(r);
    if (const FaultTableEntry* const entry = find_fault(r.rip); entry != nullptr) {
        r.rip = entry->continuation;
        return registers;
    }
    crash("an exception in the hypervisor", __FILE_NAME__, __LINE__, &r);
}

void on_nmi(pv::GuestRegisters* registers) {
    note_nmi(*registers);
}

void on_fatal_trap(pv::GuestRegisters* registers) {
    crash("a double fault, a machine check or the like", __FILE_NAME__, __LINE__, registers);
}

}  // extern "C"

}  // namespace torii::hw
