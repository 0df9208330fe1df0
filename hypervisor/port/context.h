// What the PV calls ask of the CPU that the current vCPU runs on. Defined by arch/x86/hw and tests/fakes.
// Each function acts on the calling CPU and is only called for its current vCPU.
#pragma once

#include <cstdint>

#include "core/domain/vcpu.h"

namespace torii {

void load_address_space(const Vcpu& vcpu);  // CR3 for the mode it is in; flushes
void load_gdt(const Vcpu& vcpu);            // its gdt_frames and limit
void load_ldt(const Vcpu& vcpu);            // forgets mapped LDT pages; limit from ldt_entries
void map_ldt_page(unsigned page, Mfn mfn);  // one page of the LDT

void write_fs_base(uint64_t base);
void write_active_gs_base(uint64_t base);    // of the mode the vCPU is in
void write_inactive_gs_base(uint64_t base);  // of the other mode
// Loads `selector` into the inactive GS as a guest's `mov gs` would; false when the descriptor faults.
[[nodiscard]] bool load_inactive_gs_selector(uint16_t selector);

void swap_gs_bases();             // the active and the inactive one change places
void set_task_switched(bool on);  // CR0.TS
void write_debug_register(unsigned index, uint64_t value);
[[nodiscard]] uint64_t take_debug_status();  // DR6, which is cleared
void flush_caches();                         // WBINVD
void write_guest_xcr0(uint64_t value);
[[nodiscard]] uint64_t read_timestamp();                               // RDTSC
void write_tsc_aux(uint32_t value);                                    // nothing where the CPU has none
[[nodiscard]] bool read_machine_msr(uint32_t index, uint64_t& value);  // false: #GP

// The bases as the CPU has them now: a guest changes them by its own loads too.
struct LiveBases {
    uint64_t fs;
    uint64_t active_gs;
    uint64_t inactive_gs;
};
[[nodiscard]] LiveBases read_segment_bases();
// With CPU support for user-mode base instructions the guest's CR4 may switch them off.
void load_guest_cr4(uint64_t guest_cr4);

// Ports; `width` is 1, 2 or 4 bytes.
[[nodiscard]] uint32_t read_port(uint16_t port, unsigned width);
void write_port(uint16_t port, unsigned width, uint32_t value);

}  // namespace torii
