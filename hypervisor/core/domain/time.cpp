#include "core/domain/time.h"

#include "base/once.h"

namespace torii {
void publish_time(Vcpu& vcpu) {
    abi::VcpuInfo* const info = vcpu.events.info.load(std::memory_order_acquire);
    if (info == nullptr) return;
    abi::VcpuTimeInfo& time = info->time;
    const uint32_t version = read_once(time.version) & ~1u;
    write_once(time.version, version + 1);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    time.tsc_timestamp = clock_scale.origin;
    time.system_time = 0;
    time.tsc_to_system_mul = clock_scale.multiplier;
    time.tsc_shift = clock_scale.shift;
    time.flags = clock_scale.stable ? abi::kPvclockTscStable : 0;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    write_once(time.version, version + 2);
}

}  // namespace torii
