#pragma once
// What the hypervisor tells about CPUs, those of the machine and those of domains.

#include <torii/abi/domctl.h>
#include <torii/cpu_set.h>

#include <optional>

#include "xen/ids.h"

namespace torii::dom0 {

struct VcpuInfo {
    bool online = false;
    bool blocked = false;
    bool running = false;
    uint32_t cpu = 0;  // where it runs or ran last
    uint64_t cpu_time_ns = 0;
};

// Nanoseconds in each state since the vCPU was made.
struct VcpuTimes {
    uint64_t running = 0;
    uint64_t runnable = 0;
    uint64_t blocked = 0;
    uint64_t offline = 0;
};

struct VcpuAffinity {
    CpuSet hard;  // where it may run
    CpuSet soft;  // where it had better
};

// An empty part is left as it is.
using AffinityChange = VcpuAffinity;

struct SchedulerShare {
    uint16_t weight = 0;
    uint16_t cap_percent = 0;  // of one CPU; 0: none
};

struct PoolInfo {
    PoolId id;
    abi::SchedulerId scheduler = abi::SchedulerId::kCredit2;
    uint32_t domains = 0;
    CpuSet cpus;
};

struct CpuPlace {
    uint32_t core = 0;
    uint32_t package = 0;
    uint32_t node = 0;
};

// "credit2", ...
const char* scheduler_name(abi::SchedulerId scheduler);

}  // namespace torii::dom0
