#pragma once
// sysctl (public sysctl.h, interface version 0x15): rdi = guest pointer to Sysctl. For the control domain
// only. Live patching, power management and lock profiling have numbers here and no structures: they are
// refused.

#include <torii/abi/basic_types.h>
#include <torii/abi/domid.h>

#include <cstdint>

namespace torii::abi {

inline constexpr uint32_t kSysctlInterfaceVersion = 0x15;

enum class SysctlCommand : uint32_t {
    kReadconsole = 1,
    kTbufOp = 2,
    kPhysinfo = 3,
    kSchedId = 4,
    kPerfcOp = 5,
    kGetdomaininfolist = 6,
    kDebugKeys = 7,
    kGetcpuinfo = 8,
    kAvailheap = 9,
    kGetPmstat = 10,
    kCpuHotplug = 11,
    kPmOp = 12,
    kPageOfflineOp = 14,
    kLockprofOp = 15,
    kCputopoinfo = 16,
    kNumainfo = 17,
    kCpupoolOp = 18,
    kSchedulerOp = 19,
    kCoverageOp = 20,
    kPsrCmtOp = 21,
    kPcitopoinfo = 22,
    kPsrAlloc = 23,
    kGetCpuLevellingCaps = 25,
    kGetCpuFeatureset = 26,
    kLivepatchOp = 27,
    kGetCpuPolicy = 29,
};

struct SysctlReadconsole {
    uint8_t clear;        // in: drop what was read
    uint8_t incremental;  // in: start at `index` instead of the oldest byte
    uint8_t pad0;
    uint8_t pad1;
    uint32_t index;  // in, out
    GuestPtr64 buffer;
    uint32_t count;  // in: room; out: bytes copied
    uint32_t padding;
};

enum class TraceBufferOp : uint32_t {
    kGetInfo = 0,
    kSetCpuMask = 1,
    kSetEventMask = 2,
    kSetSize = 3,
    kEnable = 4,
    kDisable = 5,
};

struct SysctlTbufOp {
    uint32_t cmd;  // TraceBufferOp
    uint32_t padding0;
    ControlBitmap cpu_mask;
    uint32_t evt_mask;
    uint32_t padding1;
    uint64_t buffer_mfn;
    uint32_t size;
    uint32_t padding2;
};

inline constexpr uint32_t kPhysicalCapHvm = 1u << 0;
inline constexpr uint32_t kPhysicalCapPv = 1u << 1;
inline constexpr uint32_t kPhysicalCapDirectIo = 1u << 2;
inline constexpr uint32_t kPhysicalCapHap = 1u << 3;
inline constexpr uint32_t kPhysicalCapShadow = 1u << 4;
inline constexpr uint32_t kPhysicalCapIommuHapPtShare = 1u << 5;
inline constexpr uint32_t kPhysicalCapVmtrace = 1u << 6;
inline constexpr uint32_t kPhysicalCapVpmu = 1u << 7;
inline constexpr uint32_t kPhysicalCapGnttabV1 = 1u << 8;
inline constexpr uint32_t kPhysicalCapGnttabV2 = 1u << 9;

struct SysctlPhysinfo {
    uint32_t threads_per_core;
    uint32_t cores_per_socket;
    uint32_t nr_cpus;
    uint32_t max_cpu_id;
    uint32_t nr_nodes;
    uint32_t max_node_id;
    uint32_t cpu_khz;
    uint32_t capabilities;
    uint32_t arch_capabilities;
    uint32_t pad;
    uint64_t total_pages;
    uint64_t free_pages;
    uint64_t scrub_pages;
    uint64_t outstanding_pages;
    uint64_t max_mfn;
    uint32_t hw_cap[8];
};

struct SysctlSchedId {
    uint32_t sched_id;  // SchedulerId
};

enum class PerfCounterOp : uint32_t {
    kReset = 1,
    kQuery = 2,
};

struct SysctlPerfcDescription {
    char name[80];
    uint32_t nr_vals;
};

struct SysctlPerfcOp {
    uint32_t cmd;          // PerfCounterOp
    uint32_t nr_counters;  // out
    uint32_t nr_vals;      // out
    uint32_t padding;
    GuestPtr64 desc;  // SysctlPerfcDescription[]
    GuestPtr64 val;   // uint32_t[]
};

struct SysctlGetdomaininfolist {
    RawDomId first_domain;  // in
    uint16_t padding0;
    uint32_t max_domains;  // in
    GuestPtr64 buffer;     // DomctlGetdomaininfo[]
    uint32_t num_domains;  // out
    uint32_t padding1;
};

struct SysctlDebugKeys {
    GuestPtr64 keys;
    uint32_t nr_keys;
    uint32_t padding;
};

struct SysctlCpuinfo {
    uint64_t idletime;  // nanoseconds
};

struct SysctlGetcpuinfo {
    uint32_t max_cpus;
    uint32_t padding0;
    GuestPtr64 info;   // SysctlCpuinfo[]
    uint32_t nr_cpus;  // out
    uint32_t padding1;
};

struct SysctlAvailheap {
    uint32_t min_bitwidth;
    uint32_t max_bitwidth;
    int32_t node;  // -1: all
    uint32_t padding;
    uint64_t avail_bytes;
};

enum class CpuHotplugOp : uint32_t {
    kOnline = 0,
    kOffline = 1,
    kSmtEnable = 2,
    kSmtDisable = 3,
};

struct SysctlCpuHotplug {
    uint32_t cpu;
    uint32_t op;
};

struct SysctlPageOfflineOp {
    uint32_t cmd;
    uint32_t start;
    uint32_t end;
    uint32_t padding;
    GuestPtr64 status;
};

inline constexpr uint32_t kInvalidCoreId = ~0u;
inline constexpr uint32_t kInvalidSocketId = ~0u;
inline constexpr uint32_t kInvalidNodeId = ~0u;
inline constexpr uint32_t kInvalidDevice = kInvalidNodeId - 1;
inline constexpr uint32_t kInvalidMemorySize = ~0u;
inline constexpr uint32_t kInvalidNodeDistance = ~0u;

struct SysctlCputopo {
    uint32_t core;
    uint32_t socket;
    uint32_t node;
};

struct SysctlCputopoinfo {
    uint32_t num_cpus;  // in: room; out: highest CPU number + 1
    uint32_t padding;
    GuestPtr64 cputopo;  // SysctlCputopo[]
};

struct SysctlPcitopoinfo {
    uint32_t num_devs;
    uint32_t padding;
    GuestPtr64 devs;
    GuestPtr64 nodes;
};

struct SysctlMeminfo {
    uint64_t memsize;
    uint64_t memfree;
};

struct SysctlNumainfo {
    uint32_t num_nodes;
    uint32_t padding;
    GuestPtr64 meminfo;   // SysctlMeminfo[num_nodes]
    GuestPtr64 distance;  // uint32_t[num_nodes * num_nodes]
};

enum class CpupoolOp : uint32_t {
    kCreate = 1,
    kDestroy = 2,
    kInfo = 3,
    kAddCpu = 4,
    kRemoveCpu = 5,
    kMoveDomain = 6,
    kFreeInfo = 7,
};
inline constexpr uint32_t kCpupoolAny = 0xFFFF'FFFF;

struct SysctlCpupoolOp {
    uint32_t op;           // CpupoolOp
    uint32_t cpupool_id;   // in, out
    uint32_t sched_id;     // in, out
    uint32_t domid;        // in
    uint32_t cpu;          // in
    uint32_t n_dom;        // out
    ControlBitmap cpumap;  // out
};

struct SysctlCreditSchedule {
    uint32_t tslice_ms;
    uint32_t ratelimit_us;
    uint32_t vcpu_migr_delay_us;
};

struct SysctlCredit2Schedule {
    uint32_t ratelimit_us;
};

enum class SysctlSchedulerCommand : uint32_t {
    kPutinfo = 0,
    kGetinfo = 1,
};

struct SysctlSchedulerOp {
    uint32_t cpupool_id;
    uint32_t sched_id;  // SchedulerId
    uint32_t cmd;       // SysctlSchedulerCommand
    uint32_t padding;
    union {
        GuestPtr64 arinc653_schedule;
        SysctlCreditSchedule sched_credit;
        SysctlCredit2Schedule sched_credit2;
        uint32_t words[4];
    } u;
};

inline constexpr uint32_t kSchedRatelimitMaxUs = 500'000;
inline constexpr uint32_t kSchedRatelimitMinUs = 100;
inline constexpr uint32_t kCreditTimesliceMaxMs = 1000;
inline constexpr uint32_t kCreditTimesliceMinMs = 1;
inline constexpr uint32_t kCreditMigrationDelayMaxUs = 100'000;

struct SysctlCoverageOp {
    uint32_t cmd;
    uint32_t size;
    GuestPtr64 buffer;
};

struct SysctlPsrCmtOp {
    uint32_t cmd;
    uint32_t flags;
    union {
        uint64_t data;
        uint32_t l3_cache_cpu;
    } u;
};

struct SysctlCpuLevellingCaps {
    uint32_t caps;
};
inline constexpr uint32_t kLevelCapFaulting = 1u << 0;
inline constexpr uint32_t kLevelCapEcx = 1u << 1;
inline constexpr uint32_t kLevelCapEdx = 1u << 2;
inline constexpr uint32_t kLevelCapExtendedEcx = 1u << 3;
inline constexpr uint32_t kLevelCapExtendedEdx = 1u << 4;
inline constexpr uint32_t kLevelCapXsaveEax = 1u << 5;
inline constexpr uint32_t kLevelCapThermalEcx = 1u << 6;
inline constexpr uint32_t kLevelCapLeaf7Eax = 1u << 7;
inline constexpr uint32_t kLevelCapLeaf7Ebx = 1u << 8;

enum class FeaturesetIndex : uint32_t {
    kRaw = 0,
    kHost = 1,
    kPv = 2,
    kHvm = 3,
    kPvMax = 4,
    kHvmMax = 5,
};

struct SysctlCpuFeatureset {
    uint32_t index;        // FeaturesetIndex
    uint32_t nr_features;  // in: words of room; out: words written
    GuestPtr64 features;   // uint32_t[]
};

enum class CpuPolicyIndex : uint32_t {
    kRaw = 0,
    kHost = 1,
    kPvMax = 2,
    kHvmMax = 3,
    kPvDefault = 4,
    kHvmDefault = 5,
};

struct SysctlCpuPolicy {
    uint32_t index;      // CpuPolicyIndex
    uint32_t nr_leaves;  // in: room; out: entries written
    uint32_t nr_msrs;    // in: room; out: entries written
    uint32_t reserved;
    GuestPtr64 leaves;  // CpuidLeafEntry[]
    GuestPtr64 msrs;    // MsrEntry[]
};

struct Sysctl {
    uint32_t cmd;  // SysctlCommand
    uint32_t interface_version;
    union {
        SysctlReadconsole readconsole;
        SysctlTbufOp tbuf_op;
        SysctlPhysinfo physinfo;
        SysctlCputopoinfo cputopoinfo;
        SysctlPcitopoinfo pcitopoinfo;
        SysctlNumainfo numainfo;
        SysctlSchedId sched_id;
        SysctlPerfcOp perfc_op;
        SysctlGetdomaininfolist getdomaininfolist;
        SysctlDebugKeys debug_keys;
        SysctlGetcpuinfo getcpuinfo;
        SysctlAvailheap availheap;
        SysctlCpuHotplug cpu_hotplug;
        SysctlPageOfflineOp page_offline;
        SysctlCpupoolOp cpupool_op;
        SysctlSchedulerOp scheduler_op;
        SysctlCoverageOp coverage_op;
        SysctlPsrCmtOp psr_cmt_op;
        SysctlCpuLevellingCaps cpu_levelling_caps;
        SysctlCpuFeatureset cpu_featureset;
        SysctlCpuPolicy cpu_policy;
        uint8_t payload[128];
    } u;
};

}  // namespace torii::abi
