#include "arch/x86/pv/dom0_layout.h"

namespace torii::pv {
namespace {

constexpr uint64_t kSlackPages = (512 << 10) >> kPageShift;  // after the last element
constexpr uint64_t kEndAlignment = (4 << 20) >> kPageShift;

constexpr uint64_t round_up(uint64_t value, uint64_t to) {
    return (value + to - 1) / to * to;
}

// Tables of every level that map [start, start + pages) of a virtual range.
uint64_t tables_for(uint64_t start, uint64_t pages) {
    const uint64_t first = start >> kPageShift;
    const uint64_t last = first + pages - 1;
    uint64_t count = 0;
    for (unsigned shift = 9; shift <= 27; shift += 9)
        count += (last >> shift) - (first >> shift) + 1;
    return count;
}

}  // namespace

Result<> plan_dom0(const image::PvNotes& notes, const image::ElfImage& kernel, uint64_t total_pages,
                   uint64_t ramdisk_bytes, Dom0Layout& layout) {
    layout.virt_base = notes.virt_base;
    layout.total_pages = total_pages;
    layout.kernel_end = Pfn(pages_for(kernel.physical_high() - notes.paddr_offset));
    layout.ramdisk_pages = pages_for(ramdisk_bytes);
    layout.ramdisk_mapped = !notes.mod_start_pfn;
    layout.p2m_pages = pages_for(total_pages * sizeof(uint64_t));
    layout.p2m_apart = notes.init_p2m.has_value();

    Pfn next = layout.kernel_end;
    const auto take = [&next](uint64_t pages) {
        const Pfn first = next;
        next += pages;
        return first;
    };
    if (layout.ramdisk_mapped) layout.ramdisk = take(layout.ramdisk_pages);
    if (!layout.p2m_apart) {
        layout.p2m = take(layout.p2m_pages);
        layout.p2m_address = layout.address_of(layout.p2m);
    }
    layout.start_info = take(1);
    // The tables map themselves, so their number is found by trying: one more table can need at most one
    // more.
    layout.page_tables = next;
    uint64_t tables = 1;
    for (;;) {
        const uint64_t used = next.raw() + tables + 1;
        layout.mapped_pages = round_up(used + kSlackPages, kEndAlignment);
        const uint64_t needed = 1 + tables_for(layout.virt_base, layout.mapped_pages);
        if (needed <= tables) break;
        tables = needed;
    }
    layout.page_table_count = tables;
    (void)take(tables);
    layout.stack = take(1);
    next = Pfn(layout.mapped_pages);
    if (layout.p2m_apart) {
        layout.p2m_address = *notes.init_p2m;
        layout.p2m = take(layout.p2m_pages);
        layout.p2m_tables = tables_for(layout.p2m_address, layout.p2m_pages);
        (void)take(layout.p2m_tables);
    }
    if (!layout.ramdisk_mapped) layout.ramdisk = take(layout.ramdisk_pages);
    if (next.raw() > total_pages) return Errno::kENOMEM;
    return {};
}

}  // namespace torii::pv
