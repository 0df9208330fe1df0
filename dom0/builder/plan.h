#pragma once
// Where everything of a new PV domain goes, as data: nothing here touches a domain.
//
// The order is the public contract of the PV start of day (xen.h, "start-of-day memory layout"): one region
// of virtual addresses from the kernel's base, mapped to PFNs counted from 0: the kernel, the ramdisk and the
// P2M (unless the kernel takes these elsewhere), start_info, the xenstore and console rings, the first page
// tables, the boot stack, then at least 512 KiB of slack up to a multiple of 4 MiB. What the kernel takes
// outside the mapping follows in the PFNs behind the region.

#include <cstdint>
#include <vector>

#include "builder/kernel_description.h"
#include "xen/ids.h"

namespace torii::dom0 {

struct PlanRequest {
    KernelDescription kernel;
    uint64_t memory_pages = 0;
    uint64_t ramdisk_bytes = 0;
};

struct FrameRange {
    Pfn first;
    uint64_t count = 0;

    Pfn end() const { return first.plus(count); }
    bool contains(Pfn pfn) const { return first <= pfn && pfn < end(); }
};

// One page table: its entries are tables of the level below, or (level 1) consecutive PFNs.
struct PageTable {
    unsigned level = 1;
    Pfn frame;
    unsigned first_entry = 0;
    unsigned entry_count = 0;
    // Level 1: the PFN of the first entry; the others follow it. Otherwise the index in `tables` of the table
    // under the first entry; the others follow it.
    uint64_t first_target = 0;
};

struct Plan {
    uint64_t memory_pages = 0;
    uint64_t entry = 0;

    FrameRange kernel;
    FrameRange ramdisk;  // empty without one
    bool ramdisk_mapped = false;
    uint64_t ramdisk_virtual = 0;  // when mapped
    uint64_t ramdisk_bytes = 0;
    FrameRange p2m;
    uint64_t p2m_virtual = 0;
    FrameRange p2m_tables;  // page tables that only the P2M's own mapping needs; right behind `p2m`
    Pfn start_info;
    uint64_t start_info_virtual = 0;
    Pfn xenstore;
    Pfn console;
    FrameRange page_tables;  // the first one is the top level
    uint64_t page_tables_virtual = 0;
    Pfn boot_stack;
    uint64_t boot_stack_top_virtual = 0;
    FrameRange mapped;  // of the initial region
    uint64_t mapped_virtual = 0;
    uint64_t needed_pages = 0;  // the least memory that this kernel and ramdisk start in

    std::vector<PageTable> tables;  // index 0 is the top level

    bool is_page_table(Pfn pfn) const { return page_tables.contains(pfn) || p2m_tables.contains(pfn); }
};

// Throws Failure: kNoMemory when the memory is too small (the sentence names the least amount), kNoKernel
// when the kernel asks for addresses that a domain cannot have.
Plan make_plan(const PlanRequest& request);

}  // namespace torii::dom0
