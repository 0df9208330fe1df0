// What vCPUs ask of the machine, for tests that run hypercalls as plain calls: registers of the CPU are
// remembered, nothing is switched.
//
// Guest memory is the test's own: a guest address is a host address. Ranges can be made to fault, for
// reading or for writing alone.
#pragma once

#include <cstddef>
#include <cstdint>

namespace torii::fakes {

// Gives each CPU its scheduler. Once per process, before the first vCPU; more calls do nothing.
void start_platform();

// While the object lives, accesses of the hypervisor to [start, start + bytes) of guest memory fault.
class FaultingRange {
public:
    enum class Kind : uint8_t { kAll, kWrites };
    FaultingRange(const void* start, size_t bytes, Kind kind);
    FaultingRange(const FaultingRange&) = delete;
    ~FaultingRange();
};

// Registers that the core has loaded, of the calling thread's CPU.
struct CpuRegisters {
    uint64_t fs_base;
    uint64_t active_gs_base;
    uint64_t inactive_gs_base;
    uint64_t xcr0;
    uint64_t cr4;
    bool task_switched;
};
[[nodiscard]] CpuRegisters& cpu_registers();

}  // namespace torii::fakes
