// Page types of direct paging: how a frame becomes a page table and stops being one.
//
// THE RULES (with the invariant in core/memory/frame_table.h)
// clang-format off
//   none, writable -> Ln   when the type count is zero, after every CPU that may hold a stale writable translation flushed;
//                          the contents are validated: each present entry takes its references, or all is undone.
//   Ln -> none             when the type count falls to zero: each entry gives its references back. An L1 at once; higher tables
//                          go on the domain's undo list, which every page-table call works off first, within its budget.
//   Ln -> partial(k)       validation stopped by its budget after k entries; the same call issued again goes on there.
//   Ln -> Lm, n != m       never while in use. Recursive tables would need it, and are refused.
//   L4                     slots 256 to 271 hold the hypervisor's entries, written at validation, cleared at the end.
// clang-format on
//
// All functions here need the owner's page_table_lock.
#pragma once

#include <torii/abi/mmu.h>

#include <atomic>

#include "arch/x86/pv/pte.h"
#include "core/call/context.h"
#include "core/domain/domain.h"

namespace torii::pv {

// Work units: one L1 table validated or given up.
inline constexpr uint32_t kTablesPerCall = 64;

constexpr FrameType table_type(unsigned level) {
    return static_cast<FrameType>(level + 1);
}
constexpr unsigned table_level(FrameType type) {
    return static_cast<unsigned>(type) - 1;
}
static_assert(table_type(1) == FrameType::kL1 && table_level(FrameType::kL4) == 4);

// Takes a general and a type reference on `mfn`, a frame of `domain`, as a table of `level`; validates it if
// it isn't yet. EINVAL: the frame or an entry breaks a rule (logged); ERESTART: budget spent, call again.
[[nodiscard]] Result<> get_table(Domain& domain, Mfn mfn, unsigned level, Budget& budget);
// Gives both references back. Needs no budget: what is large goes on the undo list.
void put_table(Domain& domain, Mfn mfn);

// The same for a descriptor-table page.
[[nodiscard]] Result<> get_descriptor_page(Domain& domain, Mfn mfn);
void put_descriptor_page(Mfn mfn);

// Works off the domain's undo list; ERESTART while there is more.
[[nodiscard]] Result<> finish_undo(Domain& domain, Budget& budget);
// For a frame whose validation was interrupted and never resumed: puts it on the undo list.
void abandon_partial(Domain& domain, Frame& frame);

// Pins: a guest's own lasting reference on a table.
[[nodiscard]] Result<> pin_table(Domain& domain, Mfn mfn, unsigned level, Budget& budget);
[[nodiscard]] Result<> unpin_table(Domain& domain, Mfn mfn);

// A not-present entry keeps whatever the guest stored, except what L1TF could turn into a read of someone's
// cache line: EINVAL, logged.
[[nodiscard]] Result<> check_absent_entry(Pte entry);

// The references that a present L1 entry stands for. `holder`: whose table it is; `owner`: who must own the
// frame (the same, or a domain that the holder controls).
[[nodiscard]] Result<> get_l1_target(Domain& holder, Domain& owner, Pte& entry);
void put_l1_target(const Domain& holder, Pte entry);
// The same for an entry whose translation is flushed on the holder's CPUs before others let the frame go.
void put_l1_target_to_be_flushed(Pte entry);

// Replaces entry `slot` of the validated table `table`. With `preserve_ad` the accessed and dirty bits set by
// the CPU meanwhile stay.
[[nodiscard]] Result<> write_entry(Domain& holder, Domain& owner, Mfn table, unsigned slot, Pte desired,
                                   bool preserve_ad, Budget& budget);
// The same for an L1 table whose page is mapped already: the short path.
[[nodiscard]] Result<> write_l1_entry(Domain& holder, Domain& owner, uint64_t* place, Pte desired,
                                      bool preserve_ad);

// Where the L1 entry for `va` lies under the L4 in `root`; kInvalidMfn in `table` when a level is missing.
struct L1Place {
    Mfn table = kInvalidMfn;
    unsigned slot = 0;
};
[[nodiscard]] L1Place find_l1(Mfn root, uint64_t va);

// The hypervisor's entries for slots 256 to 271; filled at boot.
extern uint64_t hypervisor_slots[16];

// Grows whenever the entries of any L4 may have changed: who keeps a copy of one compares
// (arch/x86/hw/guest_view.h).
extern "C" std::atomic<uint64_t> root_changes;

}  // namespace torii::pv
