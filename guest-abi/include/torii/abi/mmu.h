#pragma once
// Direct paging: mmu_update, mmuext_op, update_va_mapping, vm_assist, and the layout of the hypervisor's area
// (public xen.h, arch-x86/xen-x86_64.h).

#include <torii/abi/basic_types.h>

#include <cstdint>

namespace torii::abi {

// The low two bits of MmuUpdate::ptr.
enum class MmuUpdateType : uint32_t {
    kNormalPtUpdate = 0,      // ptr: machine address of an entry in a page table; val: its new content
    kMachphysUpdate = 1,      // ptr: machine address inside a frame; val: the PFN for the M2P
    kPtUpdatePreserveAd = 2,  // as 0, but accessed and dirty bits set by the CPU meanwhile are kept
    kPtUpdateNoTranslate = 3,
};
inline constexpr uint64_t kMmuUpdateTypeMask = 3;

struct MmuUpdate {
    uint64_t ptr;
    uint64_t val;
};

// mmu_update: rdi = MmuUpdate array, rsi = count, rdx = uint32_t* done (may be null), r10 = domain whose
// frames. r10: low 16 bits name the owner of page frames in `val`; high 16 bits, when nonzero, hold 1 + the
// owner of the table.

enum class MmuextOpCommand : uint32_t {
    kPinL1Table = 0,
    kPinL2Table = 1,
    kPinL3Table = 2,
    kPinL4Table = 3,
    kUnpinTable = 4,
    kNewBaseptr = 5,
    kTlbFlushLocal = 6,
    kInvlpgLocal = 7,
    kTlbFlushMulti = 8,
    kInvlpgMulti = 9,
    kTlbFlushAll = 10,
    kInvlpgAll = 11,
    kFlushCache = 12,
    kSetLdt = 13,
    kNewUserBaseptr = 15,
    kClearPage = 16,
    kCopyPage = 17,
    kFlushCacheGlobal = 18,
    kMarkSuper = 19,
    kUnmarkSuper = 20,
};

struct MmuextOp {
    uint32_t cmd;  // MmuextOpCommand
    uint32_t padding;
    union {
        uint64_t mfn;
        uint64_t linear_addr;
    } arg1;
    union {
        uint32_t nr_ents;
        GuestPtr64 vcpumask;
        uint64_t src_mfn;
    } arg2;
};

// Flags of update_va_mapping. The flush kind is in the low two bits; for the non-local, non-all kinds the
// remaining bits are the address of a bitmap of virtual CPUs.
inline constexpr uint64_t kUvmfNone = 0;
inline constexpr uint64_t kUvmfTlbFlush = 1;
inline constexpr uint64_t kUvmfInvlpg = 2;
inline constexpr uint64_t kUvmfFlushTypeMask = 3;
inline constexpr uint64_t kUvmfMulti = 0u << 2;
inline constexpr uint64_t kUvmfLocal = 0u << 2;
inline constexpr uint64_t kUvmfAll = 1u << 2;

enum class VmAssistCommand : uint32_t {
    kEnable = 0,
    kDisable = 1,
};

enum class VmAssistType : uint32_t {
    k4gbSegments = 0,
    k4gbSegmentsNotify = 1,
    kWritablePagetables = 2,
    kPaeExtendedCr3 = 3,
    kArchitecturalIopl = 4,
    kRunstateUpdateFlag = 5,  // runstate areas carry kRunstateUpdate while they change
    kM2pStrict = 32,
};

// The hypervisor's part of every address space: slots 256 to 271 of an L4 table.
inline constexpr uint64_t kHypervisorVirtStart = 0xFFFF'8000'0000'0000;
inline constexpr uint64_t kHypervisorVirtEnd = 0xFFFF'8800'0000'0000;
inline constexpr uint64_t kMachineToPhysVirtStart = 0xFFFF'8000'0000'0000;
inline constexpr uint64_t kMachineToPhysVirtEnd = 0xFFFF'8040'0000'0000;
inline constexpr uint64_t kMachineToPhysEntries = (kMachineToPhysVirtEnd - kMachineToPhysVirtStart) >> 3;
inline constexpr unsigned kHypervisorFirstL4Slot = 256;
inline constexpr unsigned kHypervisorLastL4Slot = 271;

// The M2P holds this for a frame that belongs to no domain's physical map.
inline constexpr uint64_t kInvalidM2pEntry = ~uint64_t{0};

}  // namespace torii::abi
