#include "core/domain/time.h"

#include "base/once.h"
#include "port/machine.h"

namespace torii {

abi::VcpuTimeInfo clock_parameters() {
    return {.version = 2,  // even: complete
            .pad0 = 0,
            .tsc_timestamp = clock_scale.origin + static_cast<uint64_t>(timestamp_offset()),
            .system_time = 0,
            .tsc_to_system_mul = clock_scale.multiplier,
            .tsc_shift = clock_scale.shift,
            .flags = clock_scale.stable ? abi::kPvclockTscStable : uint8_t{0},
            .pad1 = {}};
}

void publish_time(Vcpu& vcpu) {
    abi::VcpuInfo* const info = vcpu.events.info.load(std::memory_order_acquire);
    if (info == nullptr) return;
    abi::VcpuTimeInfo& time = info->time;
    const uint32_t version = read_once(time.version) & ~1u;
    write_once(time.version, version + 1);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    const abi::VcpuTimeInfo parameters = clock_parameters();
    write_once(time.tsc_timestamp, parameters.tsc_timestamp);
    write_once(time.system_time, parameters.system_time);
    write_once(time.tsc_to_system_mul, parameters.tsc_to_system_mul);
    write_once(time.tsc_shift, parameters.tsc_shift);
    write_once(time.flags, parameters.flags);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    write_once(time.version, version + 2);
}

}  // namespace torii
