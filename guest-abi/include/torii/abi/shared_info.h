#pragma once
// The page that a domain shares with the hypervisor, and what each virtual CPU finds in it (public xen.h,
// arch-x86/xen.h, arch-x86/xen-x86_64.h).

#include <cstddef>
#include <cstdint>

namespace torii::abi {

inline constexpr unsigned kLegacyMaxVcpus = 32;  // virtual CPUs with a VcpuInfo inside SharedInfo

// The pvclock: system_time advances with the time stamp counter. An odd version means an update is under way;
// a reader copies the fields and starts again when the version was odd or changed meanwhile.
//   delta = tsc - tsc_timestamp, shifted left by tsc_shift (right when negative)
//   now   = system_time + (delta * tsc_to_system_mul >> 32)     in nanoseconds since the hypervisor started
struct VcpuTimeInfo {
    uint32_t version;
    uint32_t pad0;
    uint64_t tsc_timestamp;
    uint64_t system_time;
    uint32_t tsc_to_system_mul;
    int8_t tsc_shift;
    uint8_t flags;
    uint8_t pad1[2];
};

inline constexpr uint8_t kPvclockTscStable = 1u << 0;
inline constexpr uint8_t kPvclockGuestStopped = 1u << 1;

struct ArchVcpuInfo {
    uint64_t cr2;  // fault address of the last page fault delivered
    uint64_t pad;
};

struct VcpuInfo {
    uint8_t evtchn_upcall_pending;  // set by the hypervisor, cleared by the guest
    uint8_t evtchn_upcall_mask;     // the virtual interrupt flag, inverted: nonzero holds upcalls back
    uint8_t pad0[6];
    uint64_t evtchn_pending_sel;  // one bit per word of evtchn_pending
    ArchVcpuInfo arch;
    VcpuTimeInfo time;
};

struct ArchSharedInfo {
    uint64_t max_pfn;  // size of the domain's own P2M, in entries
    uint64_t pfn_to_mfn_frame_list_list;
    uint64_t nmi_reason;
    uint64_t p2m_cr3;  // nonzero: the P2M is linear at p2m_vaddr in this address space
    uint64_t p2m_vaddr;
    uint64_t p2m_generation;  // odd while the guest rearranges its P2M
};

inline constexpr unsigned kEventWords = 64;  // words of 64 ports in the two-level layout
inline constexpr unsigned kEventChannels2L = 64 * kEventWords;

struct SharedInfo {
    VcpuInfo vcpu_info[kLegacyMaxVcpus];
    uint64_t evtchn_pending[kEventWords];
    uint64_t evtchn_mask[kEventWords];
    // Wall clock at system time zero; wc_version works like VcpuTimeInfo::version.
    uint32_t wc_version;
    uint32_t wc_sec;
    uint32_t wc_nsec;
    uint32_t wc_sec_hi;
    ArchSharedInfo arch;
};

}  // namespace torii::abi
