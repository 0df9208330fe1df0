#pragma once
// Frames, pages and the page tables that the domain was started with. All memory that the kit hands out lies
// in the initial mapping, where virtual address = virtual_base() + 4096 * pfn.

#include <torii/abi/basic_types.h>

#include <cstddef>
#include <cstdint>

namespace torii::guest {

// Where pseudo-physical address 0 is mapped: a symbol of the linker script (guest.lds).
extern "C" const char torii_virt_base[];
inline uint64_t virtual_base() {
    return reinterpret_cast<uint64_t>(torii_virt_base);
}
// An address at which nothing is mapped, wherever the kernel lives.
inline constexpr uint64_t kNeverMapped = 0x7000'1000;

// Page-table entry bits (Intel SDM volume 3, 4.5).
inline constexpr uint64_t kPtePresent = 1u << 0;
inline constexpr uint64_t kPteWritable = 1u << 1;
inline constexpr uint64_t kPteUser = 1u << 2;
inline constexpr uint64_t kPteWriteThrough = 1u << 3;
inline constexpr uint64_t kPteCacheDisable = 1u << 4;
inline constexpr uint64_t kPteAccessed = 1u << 5;
inline constexpr uint64_t kPteDirty = 1u << 6;
inline constexpr uint64_t kPteLarge = 1u << 7;
inline constexpr uint64_t kPteGlobal = 1u << 8;
inline constexpr uint64_t kPteNoExecute = uint64_t{1} << 63;
inline constexpr uint64_t kPteFrameMask = 0x000F'FFFF'FFFF'F000;

inline constexpr uint64_t kPteReadOnlyPage = kPtePresent | kPteUser | kPteAccessed;
inline constexpr uint64_t kPtePage = kPteReadOnlyPage | kPteWritable | kPteDirty;
inline constexpr uint64_t kPteTable = kPtePage;

struct alignas(abi::kPageSize) Page {
    uint64_t words[abi::kPageSize / sizeof(uint64_t)];
};

inline uint64_t virtual_address(const void* pointer) {
    return reinterpret_cast<uint64_t>(pointer);
}

// A zeroed page, mapped writable, never null: running out ends the domain with a report.
Page* allocate_page();
void free_page(Page* page);  // must be mapped writable again, and unpinned
size_t free_page_count();

// By the P2M; `pfn` must lie inside the domain.
uint64_t mfn_of_pfn(uint64_t pfn);
// Enters a new frame into the P2M.
void set_mfn_of_pfn(uint64_t pfn, uint64_t mfn);
// By the M2P: faults for frames beyond its end, garbage for frames of others.
uint64_t pfn_of_mfn(uint64_t mfn);

inline uint64_t pfn_of(const void* pointer) {
    return (virtual_address(pointer) - virtual_base()) / abi::kPageSize;
}
inline uint64_t mfn_of(const void* pointer) {
    return mfn_of_pfn(pfn_of(pointer));
}
inline uint64_t machine_address_of(const void* pointer) {
    return mfn_of(pointer) * abi::kPageSize + virtual_address(pointer) % abi::kPageSize;
}
inline void* pointer_of_pfn(uint64_t pfn) {
    return reinterpret_cast<void*>(virtual_base() + pfn * abi::kPageSize);
}

inline uint64_t make_entry(uint64_t mfn, uint64_t flags) {
    return mfn * abi::kPageSize | flags;
}

// The top-level table that the domain was started on.
Page* boot_l4();

// The entry of `level` (1 to 4) that translates an address, in the current tables; null when a level above is
// not present. Page tables are mapped read-only: use hypercalls to write.
const uint64_t* table_entry(uint64_t address, unsigned level);
inline uint64_t machine_address_of_entry(uint64_t address, unsigned level) {
    return machine_address_of(table_entry(address, level));
}

// Changes how a page of ours is mapped in the initial mapping. Returns the hypercall's result.
int64_t map_read_only(const void* page);
int64_t map_writable(const void* page);

// Tables that give an address outside the initial mapping its own L3, L2 and L1, hung below the boot L4 at a
// free slot. `present` is what the L1 entry holds.
struct ScratchMapping {
    uint64_t address = 0;
    Page* l3 = nullptr;
    Page* l2 = nullptr;
    Page* l1 = nullptr;
};
ScratchMapping make_scratch_mapping(unsigned l4_slot, uint64_t entry);
void drop_scratch_mapping(ScratchMapping& mapping);

}  // namespace torii::guest
