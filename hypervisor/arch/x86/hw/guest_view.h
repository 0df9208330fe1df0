// What guests run on where the CPU is open to Meltdown: views of their page tables in which the hypervisor is
// all but absent.
//
// The hypervisor runs on the guest's own L4, whose slots 256 to 271 hold all of it. The guest runs on a copy
// of that L4, in which these slots show the M2P, the first half of the CPU's area (layout.h), the entry code
// and the interrupt table only. Each CPU keeps two copies, for the guest's kernel and for its processes. A
// copy is good while pv::root_changes stands where it stood when the copy was made; the way out compares
// (entry.S, return_to_isolated_guest), so a change made by another CPU is taken over before the guest runs
// on, given that who takes an entry away interrupts the CPUs concerned.
#pragma once

#include "arch/x86/hw/cpu_local.h"

namespace torii::hw {

// Makes the calling CPU's views; its area exists, and guests are to be isolated.
void build_guest_views(CpuId cpu);

// The current vCPU's tables are those of `cr3` from now on: chooses the view to go with them. Nothing to do
// where guests are not isolated.
void choose_guest_view(CpuLocal& cpu, uint64_t cr3, bool kernel_mode);

// Another vCPU comes: what the last one's entries left on the visible stacks goes.
void wipe_entry_stacks(CpuLocal& cpu, Vcpu* next);

}  // namespace torii::hw
