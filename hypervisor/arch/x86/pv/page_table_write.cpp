// "Writable page tables": a guest kernel's plain store to an L1 table that is mapped read-only takes effect
// as an mmu_update would.
#include "arch/x86/pv/emulate.h"
#include "arch/x86/pv/faults.h"
#include "arch/x86/pv/page_type.h"
#include "base/log.h"
#include "base/once.h"
#include "core/call/counters.h"
#include "core/call/guest_ptr.h"
#include "port/context.h"
#include "port/frames.h"

namespace torii::pv {
namespace {

// Under the page-table lock: `table` is what `address` maps, if that is a validated L1 of the domain.
Mfn l1_table_at(const Vcpu& vcpu, uint64_t address) {
    const L1Place place = find_l1(vcpu.pv.kernel_root, address);
    if (place.table == kInvalidMfn) return kInvalidMfn;
    const MappedFrame page(place.table);
    const Pte mapping{read_once(page.as<uint64_t>()[place.slot])};
    if (!mapping.present() || mapping.writable() || !frame_exists(mapping.mfn())) return kInvalidMfn;
    const Frame& frame = frame_at(mapping.mfn());
    const TypeWord word = frame.type_word();
    if (frame.owner() != vcpu.domain->id || word.type() != FrameType::kL1 || word.count() == 0)
        return kInvalidMfn;
    return mapping.mfn();
}

}  // namespace

SegmentBases live_bases_for(const Instruction& instruction) {
    if (instruction.segment == SegmentOverride::kNone) return {};
    const LiveBases live = read_segment_bases();
    return {.fs = live.fs, .gs = live.active_gs};
}

bool emulate_page_table_write(Vcpu& vcpu, GuestRegisters& registers, uint64_t address) {
    Domain& domain = *vcpu.domain;
    const LockGuard guard(domain.page_table_lock);
    const Mfn table = l1_table_at(vcpu, address);
    if (table == kInvalidMfn) return false;

    uint8_t bytes[kMaxInstructionBytes];
    const size_t count = fetch_instruction(registers, bytes, sizeof(bytes));
    Result<Instruction> decoded = decode(std::span<const uint8_t>(bytes, count));
    if (!decoded.ok() || !is_memory_store(decoded.value().operation)) return false;
    const Instruction& instruction = decoded.value();
    const SegmentBases bases = live_bases_for(instruction);

    const MappedFrame page(table);
    uint64_t* const place = page.as<uint64_t>() + (address & ~kPageMask) / 8;
    FaultedStore store{.fault_address = address, .entry = read_once(*place)};
    if (reads_memory(instruction)) {
        const uint64_t source = source_address(instruction, registers, bases);
        if (!guest_range_ok(source, 8) || !copy_from_guest(&store.source, source, 8)) return false;
    }
    const Emulation emulation = emulate_entry_store(instruction, registers, bases, store);
    if (const auto* const write = std::get_if<WriteEntry>(&emulation.action); write != nullptr) {
        if (!write_l1_entry(domain, domain, place, Pte{write->desired}, false).ok()) {
            log_guest(LogLevel::kInfo, "d{} rip {x}: the store of {x} to a page table is refused", domain.id,
                      registers.rip, write->desired);
            return false;
        }
    } else if (!std::holds_alternative<Proceed>(emulation.action)) {
        return false;
    }
    count_event(EventKind::kPageTableEmulated);
    emulation.finish(registers);
    return true;
}

}  // namespace torii::pv
