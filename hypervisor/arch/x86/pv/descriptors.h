// What a guest may put into its GDT and LDT, and which selectors it may hand to the hypervisor.
//
// Both guest kernel and guest user run in ring 3, so a descriptor is dangerous only if it could take the CPU
// out of ring 3, or make it read a structure of the hypervisor:
//   - gates and task states (system descriptors) would: refused. Call gates too, which Xen emulates for
//   32-bit kernels.
//   - code and data can't, whatever base and limit they have: in 64-bit mode bases and limits are ignored (FS
//   and GS bases
//     count, and 32 bits of them don't reach the hypervisor), in compatibility mode addresses end at 4 GiB.
//   - their privilege level is forced to 3 and not refused otherwise: kernels describe their segments for
//   ring 0.
//     That also takes the sting out of conforming code, which runs at the caller's level when that is
//     numerically higher.
//   - the accessed bit is set, so that loading the segment never makes the CPU write to the table.
//   - a descriptor that isn't present may hold anything: the CPU raises #NP or #GP.
#pragma once

#include <torii/abi/trap.h>

#include <cstdint>
#include <optional>

namespace torii::pv {

inline constexpr unsigned kDescriptorsPerPage = 512;
inline constexpr uint32_t kMaxLdtEntries = 8192;
inline constexpr uint32_t kMaxGuestGdtEntries = abi::kFirstReservedGdtEntry;

// The descriptor to store in place of the guest's, or nothing when it must be refused.
[[nodiscard]] std::optional<uint64_t> checked_descriptor(uint64_t descriptor);

inline constexpr uint16_t kSelectorRplMask = 3;
inline constexpr uint16_t kSelectorLdt = 4;

constexpr bool is_null_selector(uint16_t selector) {
    return (selector & ~kSelectorRplMask) == 0;
}

// CS or SS as the CPU must load it for a guest: privilege level 3, whatever ring the guest thinks it runs in.
// A null selector comes out as null with RPL 3, on which iret raises #GP.
constexpr uint16_t guest_selector(uint16_t selector) {
    return selector | kSelectorRplMask;
}

// DS, ES, FS or GS, which may be null. With RPL 3 the CPU itself refuses what ring 3 may not load, even while
// it runs the hypervisor.
constexpr uint16_t guest_data_selector(uint16_t selector) {
    return is_null_selector(selector) ? 0 : guest_selector(selector);
}

// Whether a guest may name `selector` as the code segment of a trap handler: its own tables, or the flat
// kernel segment.
[[nodiscard]] bool is_valid_gate_selector(uint16_t selector);

// set_gdt: at most 14 pages; set_ldt: at most 8192 entries at a page-aligned address outside the hypervisor's
// area.
[[nodiscard]] bool is_valid_ldt(uint64_t base, uint32_t entries);

// The base that loading `selector` into GS or FS gives outside 64-bit bases (set_segment_base,
// GsUserSelector).
constexpr uint32_t descriptor_base(uint64_t descriptor) {
    return static_cast<uint32_t>((descriptor >> 16 & 0x00FF'FFFF) | (descriptor >> 32 & 0xFF00'0000));
}

}  // namespace torii::pv
