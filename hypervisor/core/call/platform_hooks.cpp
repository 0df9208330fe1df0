#include "core/call/platform_hooks.h"

namespace torii {

constinit PlatformHooks platform{};

CpuIdentity identity_of(CpuId cpu) {
    if (platform.identify_cpu != nullptr) return platform.identify_cpu(cpu);
    return {.apic_id = cpu.raw(), .acpi_id = cpu.raw(), .core = cpu.raw(), .socket = 0, .node = 0};
}

Nanoseconds idle_time_of(CpuId cpu) {
    return platform.idle_time != nullptr ? platform.idle_time(cpu) : 0;
}

}  // namespace torii
