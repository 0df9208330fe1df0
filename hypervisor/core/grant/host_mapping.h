// The page-table side of grant maps: what this part asks of direct paging. Defined in
// arch/x86/pv/grant_mapping.cpp.
//
// An address is a linear one in the address space that the vCPU runs on, or, with `contains_pte`, the machine
// address of an L1 entry. Each function takes the page-table lock of the vCPU's domain.
#pragma once

#include <torii/abi/grant_table.h>

#include "base/frame.h"

namespace torii {

struct Domain;
struct Frame;
struct Vcpu;

struct GrantAddress {
    uint64_t address;
    bool contains_pte;
};

// Maps `frame`, which the caller has pinned and `granter` owns, at `where`. The new entry holds its own
// references, those of the old one are given back. `map_flags` are those of the map call; `entry` gets the
// place of the entry. kGeneralError: there is no L1 entry to write, or the frame can't be mapped.
[[nodiscard]] abi::GrantStatus install_grant_entry(Vcpu& vcpu, Domain& granter, Frame& frame,
                                                   GrantAddress where, uint32_t map_flags,
                                                   MachineAddr& entry);

// Clears the entry at `where` if it is still the one at `entry` and still maps `frame`. kBadVirtAddr: `where`
// isn't the place of that entry. When the guest has cleared or changed the entry itself, nothing is left to
// do.
[[nodiscard]] abi::GrantStatus remove_grant_entry(Vcpu& vcpu, const Frame& frame, GrantAddress where,
                                                  MachineAddr entry);

// As above, but what the linear address `replacement` maps moves to `where`, and is cleared there.
// kGeneralError: that is neither empty nor a frame of the vCPU's own domain, or the entry doesn't map `frame`
// any more; nothing has changed.
[[nodiscard]] abi::GrantStatus replace_grant_entry(Vcpu& vcpu, const Frame& frame, GrantAddress where,
                                                   MachineAddr entry, uint64_t replacement);

}  // namespace torii
