// What calls about the machine need from the code that drives it. The platform fills the hooks in at boot;
// one that is missing means that the machine has no such thing, and the call says so.
#pragma once

#include <cstdint>

#include "base/frame.h"
#include "base/ids.h"
#include "base/result.h"

namespace torii {

struct Domain;

struct CpuIdentity {
    uint32_t apic_id;
    uint32_t acpi_id;
    uint32_t core;
    uint32_t socket;
    uint32_t node;
};

struct MemoryTypeRange {
    Mfn first;
    uint64_t frames;
    uint32_t type;  // as MTRRs number them
};

struct SleepRequest {
    uint16_t value_a;  // for PM1a_CNT, or for the sleep control register of a reduced platform
    uint16_t value_b;
    uint32_t state;  // the n of ACPI's Sn
    bool extended;
};

struct PlatformHooks {
    // One register of the I/O APIC at that address; EINVAL when there is none.
    Result<uint32_t> (*read_ioapic)(MachineAddr base, uint32_t reg) = nullptr;
    Result<> (*write_ioapic)(MachineAddr base, uint32_t reg, uint32_t value) = nullptr;
    Result<> (*enter_sleep)(const SleepRequest& request) = nullptr;
    // A variable memory type range; EINVAL beyond the last.
    Result<MemoryTypeRange> (*memory_type)(uint32_t index) = nullptr;
    CpuIdentity (*identify_cpu)(CpuId cpu) = nullptr;
    Nanoseconds (*idle_time)(CpuId cpu) = nullptr;

    uint32_t cpu_khz = 0;
    uint32_t cpu_features[8] = {};  // CPUID words as sysctl physinfo reports them
    uint32_t threads_per_core = 1;
    uint32_t cores_per_socket = 1;
};
extern PlatformHooks platform;  // written at boot

[[nodiscard]] CpuIdentity identity_of(CpuId cpu);
[[nodiscard]] Nanoseconds idle_time_of(CpuId cpu);

}  // namespace torii
