// Page-table entries: bits, and the one table that says what a guest may put into each of them.
//
// Bit layout: AMD64 Architecture Programmer's Manual vol. 2, section 5.3; Intel SDM vol. 3, section 4.5.
#pragma once

#include "base/frame.h"
#include "core/memory/frame_table.h"

namespace torii::pv {

inline constexpr unsigned kEntriesPerTable = 512;

inline constexpr uint64_t kPtePresent = 1u << 0;
inline constexpr uint64_t kPteWrite = 1u << 1;
inline constexpr uint64_t kPteUser = 1u << 2;
inline constexpr uint64_t kPteWriteThrough = 1u << 3;
inline constexpr uint64_t kPteCacheDisable = 1u << 4;
inline constexpr uint64_t kPteAccessed = 1u << 5;
inline constexpr uint64_t kPteDirty = 1u << 6;
inline constexpr uint64_t kPtePat = 1u << 7;        // in an L1 entry
inline constexpr uint64_t kPteLargePage = 1u << 7;  // in an L2 or L3 entry
inline constexpr uint64_t kPteGlobal = 1u << 8;
inline constexpr uint64_t kPteSoftwareLow = 7u << 9;
inline constexpr uint64_t kPteAddress = ((uint64_t{1} << 52) - 1) & kPageMask;
inline constexpr uint64_t kPteSoftwareHigh = uint64_t{0x7f} << 52;
inline constexpr uint64_t kPteProtectionKey = uint64_t{0xf} << 59;
inline constexpr uint64_t kPteNoExecute = uint64_t{1} << 63;

inline constexpr uint64_t kPteCacheAttributes = kPteWriteThrough | kPteCacheDisable | kPtePat;

// What happens to a flag that a guest sets in a present entry of a table.
//
// clang-format off
//   flag              L1 of RAM           L1 of I/O memory    L2 to L4    why
//   present           accepted            accepted            accepted
//   write             accepted, counted   accepted            accepted    no page table may be writable
//   user              forced on           forced on           forced on   guest kernel and user both run in ring 3
//   PWT, PCD, PAT     privileged only     accepted            refused     aliases with other cache attributes are dom0's risk only
//   accessed, dirty   accepted            accepted            accepted
//   large page        -                   -                   refused     types are kept by 4 KiB frame
//   global            forced off          forced off          forced off  a guest's translations must go with its CR3
//   software bits     accepted            accepted            accepted    hardware ignores them
//   protection key    refused             refused             refused     CR4.PKE stays off
//   no-execute        accepted            accepted            accepted    refused where the CPU has no NX
// clang-format on
struct FlagRules {
    uint64_t refused;
    uint64_t forced_on;
    uint64_t forced_off;
};

inline constexpr FlagRules kL1Rules{kPteProtectionKey, kPteUser, kPteGlobal};
inline constexpr FlagRules kUpperRules{
    kPteProtectionKey | kPteLargePage | kPteWriteThrough | kPteCacheDisable, kPteUser, kPteGlobal};

// What the machine adds to the rules; set once at boot.
struct PteLimits {
    uint64_t address_mask = kPteAddress;  // bits that a machine address may have
    uint64_t extra_refused = 0;           // kPteNoExecute where the CPU has none
    // On CPUs open to L1TF: a not-present entry whose address lies below this is refused, zero apart. Zero:
    // CPU not affected.
    uint64_t l1tf_unsafe_below = 0;
};
extern PteLimits pte_limits;

// A page-table entry as a value.
struct Pte {
    uint64_t raw = 0;

    [[nodiscard]] constexpr bool present() const { return (raw & kPtePresent) != 0; }
    [[nodiscard]] constexpr bool writable() const { return (raw & kPteWrite) != 0; }
    [[nodiscard]] constexpr Mfn mfn() const { return Mfn((raw & kPteAddress) >> kPageShift); }
    friend constexpr bool operator==(Pte, Pte) = default;
};

constexpr unsigned l4_slot(uint64_t va) {
    return (va >> 39) & 511;
}
constexpr unsigned l3_slot(uint64_t va) {
    return (va >> 30) & 511;
}
constexpr unsigned l2_slot(uint64_t va) {
    return (va >> 21) & 511;
}
constexpr unsigned l1_slot(uint64_t va) {
    return (va >> 12) & 511;
}

constexpr bool is_canonical(uint64_t va) {
    return static_cast<uint64_t>(static_cast<int64_t>(va << 16) >> 16) == va;
}

}  // namespace torii::pv
