#pragma once
// Size: a table, the operations and structures of one public header.
// domctl (public domctl.h, interface version 0x15): rdi = guest pointer to Domctl. For the control domain
// only, apart from what a domain may be told about itself.

#include <torii/abi/basic_types.h>
#include <torii/abi/domctl_commands.h>
#include <torii/abi/domctl_devices.h>
#include <torii/abi/domid.h>
#include <torii/abi/trap.h>

#include <cstdint>

namespace torii::abi {

inline constexpr uint32_t kDomctlInterfaceVersion = 0x15;

// DomctlCreatedomain::flags
inline constexpr uint32_t kCreateHvm = 1u << 0;
inline constexpr uint32_t kCreateHap = 1u << 1;
inline constexpr uint32_t kCreateS3Integrity = 1u << 2;
inline constexpr uint32_t kCreateOosOff = 1u << 3;
inline constexpr uint32_t kCreateXenstoreDomain = 1u << 4;
inline constexpr uint32_t kCreateIommu = 1u << 5;
inline constexpr uint32_t kCreateNestedVirt = 1u << 6;
inline constexpr uint32_t kCreateVpmu = 1u << 7;
inline constexpr uint32_t kCreateFlagsMax = kCreateVpmu;
inline constexpr uint32_t kCreateIommuNoSharePt = 1u << 0;
inline constexpr uint32_t kCreateGrantVersionMask = 0xF;

struct DomctlCreatedomain {
    uint32_t ssidref;
    DomainHandle handle;
    uint32_t flags;
    uint32_t iommu_opts;
    uint32_t max_vcpus;
    uint32_t max_evtchn_port;
    int32_t max_grant_frames;     // negative: the hypervisor's default
    int32_t max_maptrack_frames;  // negative: the hypervisor's default
    uint32_t grant_opts;          // low four bits: highest grant table version allowed
    uint32_t vmtrace_size;
    uint32_t cpupool_id;
    ArchDomainConfig arch;
};

// DomctlGetdomaininfo::flags
inline constexpr uint32_t kDomainInfoDying = 1u << 0;
inline constexpr uint32_t kDomainInfoHvmGuest = 1u << 1;
inline constexpr uint32_t kDomainInfoShutdown = 1u << 2;
inline constexpr uint32_t kDomainInfoPaused = 1u << 3;
inline constexpr uint32_t kDomainInfoBlocked = 1u << 4;
inline constexpr uint32_t kDomainInfoRunning = 1u << 5;
inline constexpr uint32_t kDomainInfoDebugged = 1u << 6;
inline constexpr uint32_t kDomainInfoXenstoreDomain = 1u << 7;
inline constexpr uint32_t kDomainInfoHap = 1u << 8;
inline constexpr uint32_t kDomainInfoShutdownMask = 255;  // ShutdownReason
inline constexpr unsigned kDomainInfoShutdownShift = 16;
inline constexpr uint32_t kInvalidMaxVcpuId = ~0u;

struct DomctlGetdomaininfo {
    RawDomId domain;
    uint16_t pad1;
    uint32_t flags;
    uint64_t tot_pages;
    uint64_t max_pages;
    uint64_t outstanding_pages;
    uint64_t shr_pages;
    uint64_t paged_pages;
    uint64_t shared_info_frame;
    uint64_t cpu_time;  // nanoseconds
    uint32_t nr_online_vcpus;
    uint32_t max_vcpu_id;
    uint32_t ssidref;
    DomainHandle handle;
    uint32_t cpupool;
    uint8_t gpaddr_bits;
    uint8_t pad2[7];
    ArchDomainConfig arch_config;
};

// DomctlGetpageframeinfo3: each word in holds a frame number; out, the type below in bits 28 to 31.
inline constexpr uint32_t kPageInfoTypeShift = 28;
inline constexpr uint32_t kPageInfoNoTable = 0u << 28;
inline constexpr uint32_t kPageInfoL1Table = 1u << 28;
inline constexpr uint32_t kPageInfoL2Table = 2u << 28;
inline constexpr uint32_t kPageInfoL3Table = 3u << 28;
inline constexpr uint32_t kPageInfoL4Table = 4u << 28;
inline constexpr uint32_t kPageInfoTableTypeMask = 7u << 28;
inline constexpr uint32_t kPageInfoPinned = 1u << 31;
inline constexpr uint32_t kPageInfoInvalid = 0xFu << 28;
inline constexpr uint32_t kPageInfoAllocateOnly = 0xEu << 28;
inline constexpr uint32_t kPageInfoBroken = 0xDu << 28;
inline constexpr uint32_t kPageInfoMask = 0xFu << 28;

struct DomctlGetpageframeinfo3 {
    uint64_t num;
    GuestPtr64 array;  // uint64_t[num]
};

enum class ShadowOp : uint32_t {
    kOff = 0,
    kEnableTest = 1,
    kEnableLogdirty = 2,
    kClean = 11,
    kPeek = 12,
    kGetAllocation = 30,
    kSetAllocation = 31,
    kEnable = 32,
};
inline constexpr uint32_t kShadowEnableRefcount = 1u << 1;
inline constexpr uint32_t kShadowEnableLogDirty = 1u << 2;
inline constexpr uint32_t kShadowEnableTranslate = 1u << 3;
inline constexpr uint32_t kShadowEnableExternal = 1u << 4;
inline constexpr uint32_t kShadowLogdirtyFinal = 1u << 0;

struct DomctlShadowStats {
    uint32_t fault_count;
    uint32_t dirty_count;
};

struct DomctlShadowOp {
    uint32_t op;  // ShadowOp
    uint32_t mode;
    uint32_t mb;
    uint32_t padding;
    GuestPtr64 dirty_bitmap;
    uint64_t pages;
    DomctlShadowStats stats;
};

struct DomctlMaxMem {
    uint64_t max_memkb;
};

struct DomctlVcpucontext {
    uint32_t vcpu;
    uint32_t padding;
    GuestPtr64 ctxt;  // VcpuGuestContext
};

struct DomctlGetvcpuinfo {
    uint32_t vcpu;  // in
    uint8_t online;
    uint8_t blocked;
    uint8_t running;
    uint8_t padding0;
    uint64_t cpu_time;  // nanoseconds
    uint32_t cpu;
    uint32_t padding1;
};

struct DomctlNodeaffinity {
    ControlBitmap nodemap;
};

inline constexpr uint32_t kVcpuAffinityHard = 1u << 0;
inline constexpr uint32_t kVcpuAffinitySoft = 1u << 1;
inline constexpr uint32_t kVcpuAffinityForce = 1u << 2;

struct DomctlVcpuaffinity {
    uint32_t vcpu;
    uint32_t flags;
    ControlBitmap cpumap_hard;
    ControlBitmap cpumap_soft;
};

struct DomctlMaxVcpus {
    uint32_t max;
};

enum class SchedulerId : uint32_t {
    kCredit = 5,
    kCredit2 = 6,
    kArinc653 = 7,
    kRtds = 8,
    kNull = 9,
};

struct DomctlSchedCredit {
    uint16_t weight;
    uint16_t cap;
};

struct DomctlSchedRtds {
    uint32_t period;
    uint32_t budget;
    uint32_t flags;
};
inline constexpr uint32_t kSchedRtdsExtra = 1u << 0;

struct DomctlSchedparamVcpu {
    union {
        DomctlSchedCredit credit;
        DomctlSchedCredit credit2;
        DomctlSchedRtds rtds;
    } u;
    uint32_t vcpuid;
};

enum class DomctlSchedulerCommand : uint32_t {
    kPutinfo = 0,
    kGetinfo = 1,
    kPutvcpuinfo = 2,
    kGetvcpuinfo = 3,
};

struct DomctlSchedulerVcpus {
    GuestPtr64 vcpus;  // DomctlSchedparamVcpu[nr_vcpus]
    uint32_t nr_vcpus;
    uint32_t padding;
};

struct DomctlSchedulerOp {
    uint32_t sched_id;  // SchedulerId
    uint32_t cmd;       // DomctlSchedulerCommand
    union {
        DomctlSchedCredit credit;
        DomctlSchedCredit credit2;
        DomctlSchedRtds rtds;
        DomctlSchedulerVcpus v;
    } u;
};

struct DomctlSetdomainhandle {
    DomainHandle handle;
};

struct DomctlSetdebugging {
    uint8_t enable;
};

struct DomctlIrqPermission {
    uint32_t pirq;
    uint8_t allow_access;
    uint8_t pad[3];
};

struct DomctlIomemPermission {
    uint64_t first_mfn;
    uint64_t nr_mfns;
    uint8_t allow_access;
    uint8_t padding[7];
};

struct DomctlIoportPermission {
    uint32_t first_port;
    uint32_t nr_ports;
    uint8_t allow_access;
    uint8_t padding[3];
};

struct DomctlHypercallInit {
    uint64_t gmfn;  // frame to fill with the hypercall page
};

struct DomctlSettimeoffset {
    int64_t time_offset_seconds;
};

struct DomctlAddressSize {
    uint32_t size;  // 32 or 64
};

enum class TriggerKind : uint32_t {
    kNmi = 0,
    kReset = 1,
    kInit = 2,
    kPower = 3,
    kSleep = 4,
};

struct DomctlSendtrigger {
    uint32_t trigger;
    uint32_t vcpu;
};

// Bank state of virtual machine checks (hvm_vmce_vcpu).
struct VmceVcpu {
    uint64_t caps;
    uint64_t mci_ctl2_bank0;
    uint64_t mci_ctl2_bank1;
    uint64_t mcg_ext_ctl;
};

struct DomctlExtVcpucontext {
    uint32_t vcpu;  // in
    uint32_t size;  // in for set, out for get: bytes that hold something
    uint64_t syscall32_callback_eip;
    uint64_t sysenter_callback_eip;
    uint16_t syscall32_callback_cs;
    uint16_t sysenter_callback_cs;
    uint8_t syscall32_disables_events;
    uint8_t sysenter_disables_events;
    uint16_t padding;
    VmceVcpu vmce;
};

struct DomctlSetTarget {
    RawDomId target;
};

struct DomctlCpuPolicy {
    uint32_t nr_leaves;
    uint32_t nr_msrs;
    GuestPtr64 leaves;  // CpuidLeafEntry[nr_leaves]
    GuestPtr64 msrs;    // MsrEntry[nr_msrs]
    uint32_t err_leaf;
    uint32_t err_subleaf;
    uint32_t err_msr;
    uint32_t padding;
};
inline constexpr uint32_t kCpuidInputUnused = 0xFFFF'FFFF;

struct DomctlSubscribe {
    uint32_t port;
};

struct DomctlDebugOp {
    uint32_t op;
    uint32_t vcpu;
};
inline constexpr uint32_t kDebugSingleStepOff = 0;
inline constexpr uint32_t kDebugSingleStepOn = 1;

struct DomctlTscInfo {
    uint32_t tsc_mode;
    uint32_t gtsc_khz;
    uint32_t incarnation;
    uint32_t pad;
    uint64_t elapsed_nsec;
};

struct DomctlAuditP2m {
    uint64_t orphans;
    uint64_t m2p_bad;
    uint64_t p2m_bad;
};

struct DomctlSetVirqHandler {
    uint32_t virq;
};

struct DomctlVcpuextstate {
    uint32_t vcpu;
    uint32_t padding;
    uint64_t xfeature_mask;
    uint64_t size;
    GuestPtr64 buffer;
};

struct DomctlSetAccessRequired {
    uint8_t access_required;
};

struct DomctlSetBrokenPageP2m {
    uint64_t pfn;
};

struct DomctlCacheflush {
    uint64_t start_pfn;
    uint64_t nr_pfns;
};

struct DomctlPagingMempool {
    uint64_t size;
};

struct DomctlVcpuMsr {
    uint32_t index;
    uint32_t reserved;
    uint64_t value;
};

struct DomctlVcpuMsrs {
    uint32_t vcpu;
    uint32_t msr_count;
    GuestPtr64 msrs;  // DomctlVcpuMsr[msr_count]
};

struct DomctlVnuma {
    uint32_t nr_vnodes;
    uint32_t nr_vmemranges;
    uint32_t nr_vcpus;
    uint32_t pad;
    GuestPtr64 vdistance;
    GuestPtr64 vcpu_to_vnode;
    GuestPtr64 vnode_to_pnode;
    GuestPtr64 vmemrange;
};

struct Domctl {
    uint32_t cmd;  // DomctlCommand
    uint32_t interface_version;
    RawDomId domain;
    uint16_t pad[3];
    union {
        DomctlCreatedomain createdomain;
        DomctlGetdomaininfo getdomaininfo;
        DomctlGetpageframeinfo3 getpageframeinfo3;
        DomctlNodeaffinity nodeaffinity;
        DomctlVcpuaffinity vcpuaffinity;
        DomctlShadowOp shadow_op;
        DomctlMaxMem max_mem;
        DomctlVcpucontext vcpucontext;
        DomctlGetvcpuinfo getvcpuinfo;
        DomctlMaxVcpus max_vcpus;
        DomctlSchedulerOp scheduler_op;
        DomctlSetdomainhandle setdomainhandle;
        DomctlSetdebugging setdebugging;
        DomctlIrqPermission irq_permission;
        DomctlIomemPermission iomem_permission;
        DomctlIoportPermission ioport_permission;
        DomctlHypercallInit hypercall_init;
        DomctlSettimeoffset settimeoffset;
        DomctlTscInfo tsc_info;
        DomctlAddressSize address_size;
        DomctlSendtrigger sendtrigger;
        DomctlGetDeviceGroup get_device_group;
        DomctlAssignDevice assign_device;
        DomctlBindPtIrq bind_pt_irq;
        DomctlMemoryMapping memory_mapping;
        DomctlIoportMapping ioport_mapping;
        DomctlExtVcpucontext ext_vcpucontext;
        DomctlSetTarget set_target;
        DomctlSubscribe subscribe;
        DomctlDebugOp debug_op;
        DomctlVmEventOp vm_event_op;
        DomctlMemSharingOp mem_sharing_op;
        DomctlCpuPolicy cpu_policy;
        DomctlVcpuextstate vcpuextstate;
        DomctlVcpuMsrs vcpu_msrs;
        DomctlSetAccessRequired access_required;
        DomctlAuditP2m audit_p2m;
        DomctlSetVirqHandler set_virq_handler;
        DomctlGdbsxMemio gdbsx_guest_memio;
        DomctlSetBrokenPageP2m set_broken_page_p2m;
        DomctlCacheflush cacheflush;
        DomctlGdbsxPauseVcpu gdbsx_pauseunp_vcpu;
        DomctlGdbsxDomstatus gdbsx_domstatus;
        DomctlVnuma vnuma;
        DomctlPsrCmtOp psr_cmt_op;
        DomctlPsrAlloc psr_alloc;
        DomctlVmtraceOp vmtrace_op;
        DomctlPagingMempool paging_mempool;
        uint8_t payload[128];
    } u;
};

}  // namespace torii::abi
