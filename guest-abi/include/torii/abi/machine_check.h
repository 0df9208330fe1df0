#pragma once
// Machine checks (public arch-x86/xen-mca.h): rdi = guest pointer to MachineCheckOp. For the control domain
// only.

#include <torii/abi/basic_types.h>

#include <cstdint>

namespace torii::abi {

inline constexpr uint32_t kMachineCheckInterfaceVersion = 0x01EC'C003;

enum class MachineCheckCommand : uint32_t {
    kFetch = 1,
    kNotifyDomain = 2,
    kPhysicalCpuInfo = 3,
    kMsrInject = 4,
    kMceInject = 5,
    kInjectV2 = 6,
};

// MachineCheckFetch::flags, in
inline constexpr uint32_t kMachineCheckNonUrgent = 0x0001;
inline constexpr uint32_t kMachineCheckUrgent = 0x0002;
inline constexpr uint32_t kMachineCheckAcknowledge = 0x0004;
// and out
inline constexpr uint32_t kMachineCheckOk = 0x0;
inline constexpr uint32_t kMachineCheckFetchFailed = 0x1;
inline constexpr uint32_t kMachineCheckNoData = 0x2;

struct MachineCheckFetch {
    uint32_t flags;
    uint32_t padding;
    uint64_t fetch_id;
    GuestPtr64 data;
};

struct MachineCheckMsr {
    uint64_t reg;
    uint64_t value;
};

struct MachineCheckCpu {
    uint32_t cpu;
    uint32_t chip_id;
    uint16_t core_id;
    uint16_t thread_id;
    uint32_t apic_id;
    uint32_t cluster_id;
    uint32_t cores;
    uint32_t active_cores;
    uint32_t threads;
    int32_t cpuid_level;
    uint32_t family;
    uint32_t vendor;
    uint32_t model;
    uint32_t stepping;
    char vendor_id[16];
    char brand_id[64];
    uint32_t capabilities[7];
    uint32_t cache_size;
    uint32_t cache_alignment;
    int32_t msr_count;
    MachineCheckMsr msrs[8];
};

// A null pointer asks for the number of CPUs alone.
struct MachineCheckPhysicalCpuInfo {
    uint32_t cpu_count;  // in: room, out: CPUs
    uint32_t padding;
    GuestPtr64 info;  // MachineCheckCpu[cpu_count]
};

struct MachineCheckOp {
    uint32_t cmd;  // MachineCheckCommand
    uint32_t interface_version;
    union {
        MachineCheckFetch fetch;
        MachineCheckPhysicalCpuInfo physical_cpu_info;
        uint8_t payload[144];
    } u;
};

}  // namespace torii::abi
