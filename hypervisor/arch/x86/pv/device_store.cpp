// A control domain's store to device memory that it may only read (core/memory/io_frames.h): the hypervisor
// looks at what is stored, and stores it.
#include "arch/x86/pv/emulate.h"
#include "arch/x86/pv/faults.h"
#include "arch/x86/pv/page_type.h"
#include "base/once.h"
#include "core/call/counters.h"
#include "core/call/guest_ptr.h"
#include "core/interrupt/guarded_stores.h"
#include "core/memory/io_frames.h"
#include "port/context.h"
#include "port/devices.h"
#include "port/frames.h"

namespace torii::pv {
namespace {

// What `address` maps, if that is guarded.
MachineAddr guarded_address(const Vcpu& vcpu, uint64_t address) {
    const LockGuard guard(vcpu.domain->page_table_lock);
    const L1Place place = find_l1(vcpu.pv.kernel_root, address);
    if (place.table == kInvalidMfn) return {};
    const MappedFrame page(place.table);
    const Pte mapping{read_once(page.as<uint64_t>()[place.slot])};
    if (!mapping.present() || mapping.writable() || !is_guarded_io_frame(mapping.mfn())) return {};
    return address_of(mapping.mfn()) + (address & ~kPageMask);
}

// The eight bytes around the store, for instructions that make something of what is there.
uint64_t read_around(MachineAddr address) {
    const MachineAddr start(address.raw() & ~uint64_t{7});
    return device_read(start) | uint64_t{device_read(start + 4)} << 32;
}

}  // namespace

bool emulate_device_store(Vcpu& vcpu, GuestRegisters& registers, uint64_t address) {
    if (!vcpu.domain->io.all_memory) return false;
    const MachineAddr target = guarded_address(vcpu, address);
    if (target == MachineAddr{}) return false;

    uint8_t bytes[kMaxInstructionBytes];
    const size_t count = fetch_instruction(registers, bytes, sizeof(bytes));
    Result<Instruction> decoded = decode(std::span<const uint8_t>(bytes, count));
    if (!decoded.ok() || !is_memory_store(decoded.value().operation)) return false;
    const Instruction& instruction = decoded.value();
    const unsigned width = instruction.operand_bytes;
    if (target.raw() % width != 0) return false;
    const SegmentBases bases = live_bases_for(instruction);
    FaultedStore store{.fault_address = address, .entry = read_around(target)};
    if (reads_memory(instruction)) {
        const uint64_t source = source_address(instruction, registers, bases);
        if (!guest_range_ok(source, 8) || !copy_from_guest(&store.source, source, 8)) return false;
    }
    const Emulation emulation = emulate_entry_store(instruction, registers, bases, store);
    if (const auto* const write = std::get_if<WriteEntry>(&emulation.action); write != nullptr) {
        write_guarded(target, width, write->desired >> (8 * (address & 7)));
    } else if (!std::holds_alternative<Proceed>(emulation.action)) {
        return false;
    }
    count_event(EventKind::kEmulated);
    emulation.finish(registers);
    return true;
}

}  // namespace torii::pv
