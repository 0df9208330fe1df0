// The CPU's features and its set-up.
#pragma once

#include <cstdint>

#include "base/ids.h"

namespace torii::hw {

struct CpuFeatures {
    bool intel = false;
    bool no_execute = false;
    bool xsave = false;
    bool x2apic = false;
    bool tsc_deadline = false;
    bool fsgsbase = false;
    bool smep = false;
    bool umip = false;
    bool tsc_aux = false;
    bool invariant_tsc = false;
    bool large_1g = false;
    unsigned physical_bits = 36;
    uint64_t xcr0 = 1;  // what guests may enable
    uint32_t xsave_bytes = 512;
};
extern CpuFeatures features;  // the boot CPU's, written once

void detect_features();
// Control registers, MSRs, descriptor tables and stacks of the calling CPU; its area exists.
void set_up_cpu(CpuId cpu);
// The vectors' handlers; once for all CPUs.
void build_interrupt_table();
[[nodiscard]] uint64_t interrupt_table_address();  // its one page

}  // namespace torii::hw
