// Carrying out what emulate.h made of a privileged instruction.
#include <torii/abi/trap.h>

#include "arch/x86/pv/address_space.h"
#include "arch/x86/pv/bounce.h"
#include "arch/x86/pv/cpu_policy.h"
#include "arch/x86/pv/emulate.h"
#include "arch/x86/pv/faults.h"
#include "arch/x86/pv/guest_cpuid.h"
#include "arch/x86/pv/guest_msr.h"
#include "arch/x86/pv/handlers.h"
#include "core/call/counters.h"
#include "core/call/guest_ptr.h"
#include "core/interrupt/config_ports.h"
#include "port/context.h"

namespace torii::pv {
namespace {

uint64_t all_ones(unsigned width) {
    return (uint64_t{1} << (8 * width)) - 1;
}

PrivilegedState state_of(const Vcpu& vcpu) {
    PrivilegedState state;
    state.kernel_mode = vcpu.entry.in_kernel_mode != 0;
    state.iopl = vcpu.pv.iopl;
    state.task_switched = vcpu.pv.task_switched;
    state.cr2 = vcpu.pv.cr2;
    state.cr3 = state.kernel_mode ? vcpu.entry.kernel_cr3 : vcpu.entry.user_cr3;
    state.cr4 = vcpu.pv.cr4;
    state.has_fsgsbase = has(policy_of(*vcpu.domain).features(), feature::kFsgsbase);
    state.xcr0_offered = policy_of(*vcpu.domain).xcr0();
    const LiveBases bases = read_segment_bases();
    state.bases = {.fs = bases.fs, .gs = bases.active_gs};
    return state;
}

// One action after the other; true when the instruction took effect, false when it must fault instead.
class Executor {
public:
    Executor(Vcpu& vcpu, GuestRegisters& registers, const Emulation& emulation)
        : vcpu_(vcpu), registers_(registers), emulation_(emulation) {}

    bool operator()(const Refuse& refuse) {
        deliver_exception(vcpu_, registers_, static_cast<unsigned>(refuse.vector), 0);
        return true;
    }
    bool operator()(const Proceed&) { return done(); }
    bool operator()(const ReadMsr& action) {
        uint64_t value = 0;
        if (!read_guest_msr(vcpu_, action.index, value)) return false;
        return done(value);
    }
    bool operator()(const WriteMsr& action) {
        return write_guest_msr(vcpu_, action.index, action.value) && done();
    }
    bool operator()(const Cpuid& action) {
        emulation_.finish_cpuid(registers_, guest_cpuid(vcpu_, action.leaf, action.subleaf));
        return true;
    }
    bool operator()(const ReadTsc&) {
        emulation_.finish_tsc(registers_, read_timestamp(), 0);
        return true;
    }
    bool operator()(const SetTaskSwitched& action) {
        vcpu_.pv.task_switched = action.value;
        set_task_switched(action.value);
        return done();
    }
    bool operator()(const WriteCr2& action) {
        vcpu_.pv.cr2 = action.value;
        return done();
    }
    bool operator()(const WriteCr3& action) {
        return set_kernel_root(vcpu_, frame_of(MachineAddr(action.value))).ok() && done();
    }
    bool operator()(const WriteCr4& action) {
        vcpu_.pv.cr4 = action.value;
        load_guest_cr4(action.value);
        return done();
    }
    bool operator()(const ReadDebug& action) { return done(vcpu_.pv.debug_registers[action.number & 7]); }
    bool operator()(const WriteDebug& action) {
        return store_debug_register(vcpu_, action.number, action.value).ok() && done();
    }
    bool operator()(const SetXcr0& action) {
        vcpu_.pv.xcr0 = action.value;
        write_guest_xcr0(action.value);
        return done();
    }
    bool operator()(const FlushCaches&) {
        if (vcpu_.domain->privileged) flush_caches();
        return done();
    }
    bool operator()(const Block&) {
        return false;
    }  // a kernel blocks by sched_op; its `hlt` faults, as on Xen
    bool operator()(const ReadPort& action) {
        uint64_t value = 0;
        if (!read_allowed(action.access, value)) return false;
        return done(value);
    }
    bool operator()(const WritePort& action) { return write_allowed(action.access, action.value) && done(); }
    bool operator()(const ReadPortToMemory& action) {
        uint64_t value = 0;
        if (!read_allowed(action.access, value)) return false;
        if (!guest_range_ok(action.address, action.access.width) ||
            !copy_to_guest(action.address, &value, action.access.width)) {
            deliver_page_fault(vcpu_, registers_, action.address, kFaultWrite);
            return true;
        }
        return done();
    }
    bool operator()(const WritePortFromMemory& action) {
        uint64_t value = 0;
        if (!guest_range_ok(action.address, action.access.width) ||
            !copy_from_guest(&value, action.address, action.access.width)) {
            deliver_page_fault(vcpu_, registers_, action.address, 0);
            return true;
        }
        return write_allowed(action.access, static_cast<uint32_t>(value)) && done();
    }
    bool operator()(const WriteEntry&) { return false; }  // stores don't come here

private:
    bool done() {
        emulation_.finish(registers_);
        return after();
    }
    bool done(uint64_t result) {
        emulation_.finish(registers_, result);
        return after();
    }
    bool after() {
        count_event(EventKind::kEmulated);
        if (emulation_.traps_after()) {
            constexpr uint64_t kSingleStep = 1u << 14;
            vcpu_.pv.debug_registers[6] |= kSingleStep;
            deliver_exception(vcpu_, registers_, kVectorDebug, 0);
        }
        return true;
    }

    // The privilege level allowed it, or the guest's own bitmap does.
    [[nodiscard]] bool guest_permits(const PortAccess& access) const {
        if (!access.by_bitmap) return true;
        const uint32_t last = access.port + access.width - 1u;
        if (vcpu_.pv.io_bitmap == 0 || last >= vcpu_.pv.io_bitmap_ports) return false;
        uint16_t two_bytes = 0;
        const uint64_t at = vcpu_.pv.io_bitmap + access.port / 8;
        const size_t bytes = last / 8 == access.port / 8u ? 1 : 2;
        if (!guest_range_ok(at, bytes) || !copy_from_guest(&two_bytes, at, bytes)) return false;
        return bitmap_allows(two_bytes, access);
    }
    [[nodiscard]] bool domain_permits(const PortAccess& access) const {
        const uint64_t* const bits = vcpu_.domain->io.port_bits;
        if (bits == nullptr) return false;
        for (unsigned port = access.port; port < access.port + unsigned{access.width}; ++port) {
            if (port > 0xffff || ((bits[port / 64] >> (port % 64)) & 1) == 0) return false;
        }
        return true;
    }
    [[nodiscard]] bool read_allowed(const PortAccess& access, uint64_t& value) const {
        if (!guest_permits(access)) return false;
        value = domain_permits(access) ? read_machine_port(access) : all_ones(access.width);
        return true;
    }
    [[nodiscard]] bool write_allowed(const PortAccess& access, uint32_t value) const {
        if (!guest_permits(access)) return false;
        if (domain_permits(access)) write_machine_port(access, value);
        return true;
    }

    // Configuration space is shared with the hypervisor, which keeps a selector for each who selects.
    [[nodiscard]] uint32_t read_machine_port(const PortAccess& access) const {
        const uint32_t selector = vcpu_.domain->io.pci_selector.load(std::memory_order_relaxed);
        if (access.port == kPciSelectPort && access.width == 4) return selector;
        if (is_config_data(access.port, access.width))
            return read_config_data(selector, access.port, access.width);
        return read_port(access.port, access.width);
    }
    void write_machine_port(const PortAccess& access, uint32_t value) const {
        std::atomic<uint32_t>& selector = vcpu_.domain->io.pci_selector;
        if (access.port == kPciSelectPort && access.width == 4)
            return selector.store(value, std::memory_order_relaxed);
        const uint32_t selected = selector.load(std::memory_order_relaxed);
        if (is_config_data(access.port, access.width))
            return write_config_data(selected, access.port, access.width, value);
        write_port(access.port, access.width, value);
    }

    Vcpu& vcpu_;
    GuestRegisters& registers_;
    const Emulation& emulation_;
};

}  // namespace

bool emulate_privileged_instruction(Vcpu& vcpu, GuestRegisters& registers, bool forced) {
    uint8_t bytes[kMaxInstructionBytes];
    const size_t count = fetch_instruction(registers, bytes, sizeof(bytes));
    if (count == 0) return false;
    const std::span<const uint8_t> code(bytes, count);
    Result<Instruction> instruction = forced ? decode_forced_emulation(code) : decode(code);
    if (!instruction.ok() || is_memory_store(instruction.value().operation)) return false;
    const Emulation emulation = emulate_privileged(instruction.value(), registers, state_of(vcpu));
    Executor executor(vcpu, registers, emulation);
    return std::visit(executor, emulation.action);
}

}  // namespace torii::pv
