// Where everything of an initial domain goes (public xen.h, "Start-of-day memory layout"): pure arithmetic.
//
// Pseudo-physical memory from frame 0 of the kernel's address space on: kernel at its own address,
// start_info, page tables, boot stack; all mapped from VIRT_BASE, up to a multiple of 4 MiB. The P2M lies
// behind it, and is mapped there or at INIT_P2M. The initial RAM disk comes last.
#pragma once

#include <torii/image/pv_notes.h>

#include "base/frame.h"
#include "base/result.h"

namespace torii::pv {

struct Dom0Layout {
    uint64_t virt_base = 0;
    uint64_t total_pages = 0;  // of the domain
    Pfn kernel_end{};
    Pfn ramdisk{};  // first frame
    uint64_t ramdisk_pages = 0;
    bool ramdisk_mapped = false;
    Pfn p2m{};                 // first frame
    uint64_t p2m_pages = 0;    // of entries
    uint64_t p2m_tables = 0;   // page tables behind them, for INIT_P2M
    bool p2m_apart = false;    // mapped at p2m_address, outside the initial mapping
    uint64_t p2m_address = 0;  // virtual
    Pfn start_info{};
    Pfn page_tables{};
    uint64_t page_table_count = 0;
    Pfn stack{};
    uint64_t mapped_pages = 0;  // from virt_base on

    [[nodiscard]] uint64_t address_of(Pfn pfn) const { return virt_base + (pfn.raw() << kPageShift); }
};

// ENOMEM: `total_pages` don't hold it all.
[[nodiscard]] Result<> plan_dom0(const image::PvNotes& notes, const image::ElfImage& kernel,
                                 uint64_t total_pages, uint64_t ramdisk_bytes, Dom0Layout& layout);

}  // namespace torii::pv
