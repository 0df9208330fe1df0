#include "arch/x86/pv/faults.h"

#include <torii/abi/mmu.h>
#include <torii/abi/trap.h>

#include "arch/x86/pv/address_space.h"
#include "arch/x86/pv/bounce.h"
#include "core/call/counters.h"
#include "core/call/guest_ptr.h"
#include "port/context.h"
#include "port/machine.h"

namespace torii::pv {
namespace {

constexpr uint32_t kErrorCodeIdt =
    2;  // the selector part names a gate: `int n` through a gate that ring 3 may not use
constexpr uint8_t kOpcodeInt = 0xcd;
constexpr uint64_t kIntBytes = 2;
constexpr unsigned kVectorSoftware80 = 0x80;

// `int n`. The CPU's error code holds the vector, but some CPUs' (QEMU's before 8) is wrong, so the
// instruction itself is asked.
bool deliver_software_interrupt(Vcpu& vcpu, GuestRegisters& registers, uint32_t error_code) {
    if ((error_code & kErrorCodeIdt) == 0) return false;
    uint8_t bytes[kIntBytes];
    if (fetch_instruction(registers, bytes, kIntBytes) != kIntBytes || bytes[0] != kOpcodeInt) return false;
    const TrapGate& gate = vcpu.pv.gates[bytes[1]];
    const unsigned privilege = vcpu.entry.in_kernel_mode != 0 ? 1 : 3;
    if (gate.address == 0 || (gate.flags & abi::kTrapDplMask) < privilege) return false;
    registers.rip += kIntBytes;
    deliver_exception(vcpu, registers, bytes[1], 0);
    return true;
}

// An instruction whose gate in the hypervisor's table lets ring 3 through, so that the guest's own gate must
// be asked. Without one the instruction faults as it would on a machine: a process must not end its domain by
// it.
void handle_trap_instruction(Vcpu& vcpu, GuestRegisters& registers, unsigned vector) {
    const TrapGate& gate = vcpu.pv.gates[vector];
    const unsigned privilege = vcpu.entry.in_kernel_mode != 0 ? 0 : 3;
    if (gate.address != 0 && (gate.flags & abi::kTrapDplMask) >= privilege)
        return deliver_exception(vcpu, registers, vector, 0);
    registers.rip -= vector == kVectorSoftware80 ? kIntBytes : 1;  // int3 and into have one byte
    deliver_exception(vcpu, registers, kVectorGeneralProtection, vector << 3 | kErrorCodeIdt);
}

void handle_general_protection(Vcpu& vcpu, GuestRegisters& registers, uint32_t error_code) {
    if (error_code == 0 && emulate_privileged_instruction(vcpu, registers, false)) return;
    if (deliver_software_interrupt(vcpu, registers, error_code)) return;
    deliver_exception(vcpu, registers, kVectorGeneralProtection, error_code);
}

void handle_device_not_available(Vcpu& vcpu, GuestRegisters& registers) {
    // The flag goes before the handler runs, as the public xen.h has it for fpu_taskswitch.
    vcpu.pv.task_switched = false;
    set_task_switched(false);
    deliver_exception(vcpu, registers, kVectorDeviceNotAvailable, 0);
}

}  // namespace

size_t fetch_instruction(const GuestRegisters& registers, uint8_t* bytes, size_t most) {
    if (!guest_range_ok(registers.rip, most)) return 0;
    if (copy_from_guest(bytes, registers.rip, most)) return most;
    // It may end at a page whose successor isn't there.
    const uint64_t to_page_end = kPageSize - (registers.rip & ~kPageMask);
    if (to_page_end >= most || !copy_from_guest(bytes, registers.rip, to_page_end)) return 0;
    return to_page_end;
}

void handle_exception(Vcpu& vcpu, GuestRegisters& registers, unsigned vector, uint32_t error_code) {
    switch (vector) {
        case kVectorGeneralProtection:
            return handle_general_protection(vcpu, registers, error_code);
        case kVectorInvalidOpcode:
            if (emulate_privileged_instruction(vcpu, registers, true)) return;
            return deliver_exception(vcpu, registers, vector, 0);
        case kVectorBreakpoint:
        case kVectorOverflow:
        case kVectorSoftware80:
            return handle_trap_instruction(vcpu, registers, vector);
        case kVectorDebug:
            vcpu.pv.debug_registers[6] |= take_debug_status();
            return deliver_exception(vcpu, registers, vector, 0);
        case kVectorDeviceNotAvailable:
            return handle_device_not_available(vcpu, registers);
        default:
            return deliver_exception(vcpu, registers, vector, error_code);
    }
}

void handle_page_fault(Vcpu& vcpu, GuestRegisters& registers, uint64_t address, uint32_t error_code) {
    const bool kernel = vcpu.entry.in_kernel_mode != 0;
    if (kernel && (error_code & (kFaultPresent | kFaultWrite)) == (kFaultPresent | kFaultWrite) &&
        guest_range_ok(address, 8) &&
        (emulate_page_table_write(vcpu, registers, address) ||
         emulate_device_store(vcpu, registers, address)))
        return;
    // The guest's kernel doesn't know that it runs in ring 3.
    if (kernel) error_code &= ~kFaultUser;
    deliver_page_fault(vcpu, registers, address, error_code);
}

}  // namespace torii::pv
