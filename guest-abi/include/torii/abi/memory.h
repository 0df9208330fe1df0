#pragma once
// memory_op (public memory.h): rdi = MemoryOp in the low 6 bits (higher bits: where a preempted call goes
// on), rsi = guest pointer to the operation's structure.

#include <torii/abi/basic_types.h>
#include <torii/abi/domid.h>
#include <torii/abi/physdev.h>

#include <cstdint>

namespace torii::abi {

enum class MemoryOp : uint32_t {
    kIncreaseReservation = 0,
    kDecreaseReservation = 1,
    kMaximumRamPage = 2,
    kCurrentReservation = 3,
    kMaximumReservation = 4,
    kMachphysMfnList = 5,
    kPopulatePhysmap = 6,
    kAddToPhysmap = 7,
    kMemoryMap = 9,
    kMachineMemoryMap = 10,
    kExchange = 11,
    kMachphysMapping = 12,
    kSetMemoryMap = 13,
    kMaximumGpfn = 14,
    kRemoveFromPhysmap = 15,
    kSetPodTarget = 16,
    kGetPodTarget = 17,
    kGetSharingFreedPages = 18,
    kGetSharingSharedPages = 19,
    kPagingOp = 20,
    kAccessOp = 21,
    kSharingOp = 22,
    kAddToPhysmapBatch = 23,
    kClaimPages = 24,
    kMachphysCompatMfnList = 25,
    kGetVnumainfo = 26,
    kReservedDeviceMemoryMap = 27,
    kAcquireResource = 28,
};

// Fields of MemoryReservation::mem_flags.
inline constexpr uint32_t kMemFlagAddressBitsMask = 0xFF;  // frames must lie below 1 << bits; 0: anywhere
inline constexpr unsigned kMemFlagNodeShift = 8;           // node + 1
inline constexpr uint32_t kMemFlagPopulateOnDemand = 1u << 16;
inline constexpr uint32_t kMemFlagExactNodeRequest = 1u << 17;
inline constexpr uint32_t kMemFlagVnode = 1u << 18;

struct MemoryReservation {
    GuestPtr64 extent_start;  // uint64_t[nr_extents]: frame numbers in, out, or both
    uint64_t nr_extents;
    uint32_t extent_order;  // each extent has 1 << extent_order frames
    uint32_t mem_flags;
    RawDomId domid;
    uint16_t padding[3];
};

struct MemoryExchange {
    MemoryReservation in;
    MemoryReservation out;
    uint64_t nr_exchanged;  // in: zero; out: input extents that were exchanged
};

// The argument of kCurrentReservation, kMaximumReservation, kMaximumGpfn.
struct MemoryDomain {
    RawDomId domid;
};

struct MachphysMfnList {
    uint32_t max_extents;
    uint32_t padding0;
    GuestPtr64 extent_start;  // out: one machine frame per 2 MiB of M2P
    uint32_t nr_extents;      // out
    uint32_t padding1;
};

struct MachphysMapping {
    uint64_t v_start;
    uint64_t v_end;
    uint64_t max_mfn;
};

enum class MapSpace : uint32_t {
    kSharedInfo = 0,
    kGrantTable = 1,
    kGmfn = 2,
    kGmfnRange = 3,
    kGmfnForeign = 4,
    kDevMmio = 5,
};

struct AddToPhysmap {
    RawDomId domid;
    uint16_t size;   // for kGmfnRange
    uint32_t space;  // MapSpace
    uint64_t idx;
    uint64_t gpfn;
};
inline constexpr uint64_t kMapIndexGrantTableStatus = 0x8000'0000;

struct AddToPhysmapBatch {
    RawDomId domid;
    uint16_t space;
    uint16_t size;
    RawDomId foreign_domid;  // for kGmfnForeign, otherwise zero
    GuestPtr64 idxs;
    GuestPtr64 gpfns;
    GuestPtr64 errs;
};

struct RemoveFromPhysmap {
    RawDomId domid;
    uint16_t padding[3];
    uint64_t gpfn;
};

// kMemoryMap and kMachineMemoryMap. nr_entries: in, room in the buffer; out, entries written. A null buffer
// asks for the number alone.
struct MemoryMap {
    uint32_t nr_entries;
    uint32_t padding;
    GuestPtr64 buffer;  // E820Entry[]
};

// A PC memory map entry: 20 bytes, so entries of an array are not aligned.
struct __attribute__((packed)) E820Entry {
    uint64_t address;
    uint64_t size;
    uint32_t type;  // E820Type
};

enum class E820Type : uint32_t {
    kRam = 1,
    kReserved = 2,
    kAcpi = 3,
    kNvs = 4,
    kUnusable = 5,
};

inline constexpr unsigned kE820MaxEntries = 1024;

struct ForeignMemoryMap {
    RawDomId domid;
    uint16_t padding[3];
    MemoryMap map;
};

struct PodTarget {
    uint64_t target_pages;
    uint64_t tot_pages;
    uint64_t pod_cache_pages;
    uint64_t pod_entries;
    RawDomId domid;
    uint16_t padding[3];
};

struct ReservedDeviceMemory {
    uint64_t start_pfn;
    uint64_t nr_pages;
};

struct ReservedDeviceMemoryMap {
    uint32_t flags;
    uint32_t nr_entries;
    GuestPtr64 buffer;
    PciDevice pci;
    uint32_t padding;
};
inline constexpr uint32_t kReservedDeviceMemoryAll = 1;

enum class ResourceType : uint16_t {
    kIoreqServer = 0,
    kGrantTable = 1,
    kVmtraceBuffer = 2,
};
inline constexpr uint32_t kResourceGrantTableShared = 0;
inline constexpr uint32_t kResourceGrantTableStatus = 1;

// A PV caller's frame_list receives machine frames, or, when called by a tool through privcmd, holds them.
struct AcquireResource {
    RawDomId domid;      // in
    uint16_t type;       // in: ResourceType
    uint32_t id;         // in
    uint32_t nr_frames;  // in; out when frame_list is null: the resource's size
    uint32_t pad;        // zero
    uint64_t frame;      // in: first frame of the resource
    GuestPtr64 frame_list;
};

struct VirtualMemoryRange {
    uint64_t start;
    uint64_t end;
    uint32_t flags;
    uint32_t nid;
};

struct VirtualNumaTopology {
    RawDomId domid;
    uint16_t pad;
    uint32_t nr_vnodes;
    uint32_t nr_vcpus;
    uint32_t nr_vmemranges;
    GuestPtr64 vdistance;
    GuestPtr64 vcpu_to_vnode;
    GuestPtr64 vmemrange;
};

}  // namespace torii::abi
