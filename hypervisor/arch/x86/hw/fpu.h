// The floating-point state of a vCPU, all of it that XCR0 covers, to and from its area.
#pragma once

#include "arch/x86/hw/cpu.h"

namespace torii::hw {

inline void save_fpu(void* area) {
    if (features.xsave) {
        asm volatile("xsave64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
    } else {
        asm volatile("fxsave64 (%0)" : : "r"(area) : "memory");
    }
}
inline void restore_fpu(const void* area) {
    if (features.xsave) {
        asm volatile("xrstor64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
    } else {
        asm volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
    }
}
// As a fresh CPU has it.
inline void reset_fpu() {
    constexpr uint32_t kAllMasked = 0x1f80;
    asm volatile("fninit; ldmxcsr %0" : : "m"(kAllMasked));
}

}  // namespace torii::hw
