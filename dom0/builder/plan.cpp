#include "builder/plan.h"

#include <torii/abi/basic_types.h>
#include <torii/abi/mmu.h>
#include <torii/failure.h>

#include <algorithm>
#include <array>
#include <map>

#include "log/log.h"

namespace torii::dom0 {
namespace {

constexpr uint64_t kPage = abi::kPageSize;
constexpr unsigned kLevels = 4;
constexpr unsigned kEntries = 512;
constexpr uint64_t kRegionAlignment = 4ull << 20;
constexpr uint64_t kRegionSlack = 512ull << 10;
constexpr uint64_t kMaxRegion = 1ull << 30;  // no kernel has more before it builds its own tables

uint64_t pages_for(uint64_t bytes) {
    return (bytes + kPage - 1) / kPage;
}

uint64_t round_up(uint64_t value, uint64_t alignment) {
    return (value + alignment - 1) / alignment * alignment;
}

// Bytes that one entry of a table of this level covers.
constexpr uint64_t entry_span(unsigned level) {
    return kPage << (9 * (level - 1));
}

bool is_canonical(uint64_t address) {
    const uint64_t top = address >> 47;
    return top == 0 || top == (1ull << 17) - 1;
}

// A stretch of virtual addresses that maps to consecutive PFNs.
struct Stretch {
    uint64_t virtual_address = 0;
    uint64_t pages = 0;
    Pfn first;

    uint64_t last() const { return virtual_address + pages * kPage - 1; }
};

// Tables of each level by the index of the address space they cover, e.g. level 1 by address >> 21.
using TableSet = std::array<std::map<uint64_t, uint64_t>, kLevels + 1>;

void note_tables(TableSet& set, const Stretch& stretch) {
    if (stretch.pages == 0) return;
    for (unsigned level = 1; level <= kLevels; level++) {
        const uint64_t span = entry_span(level) * kEntries;
        const bool top = level == kLevels;
        const uint64_t first = top ? 0 : stretch.virtual_address / span;
        const uint64_t last = top ? 0 : stretch.last() / span;
        for (uint64_t index = first; index <= last; index++)
            set[level].emplace(index, 0);
    }
}

uint64_t count_tables(const TableSet& set) {
    uint64_t count = 0;
    for (const auto& level : set)
        count += level.size();
    return count;
}

// A table has one run of entries as long as the stretches it serves are consecutive in it, which holds for
// the one region and the one P2M that a plan has: if both meet in one table, the gap between them would have
// to be filled.
void add_entries(PageTable& table, unsigned first, unsigned count, uint64_t target) {
    if (table.entry_count == 0) {
        table.first_entry = first;
        table.entry_count = count;
        table.first_target = target;
        return;
    }
    const unsigned end = table.first_entry + table.entry_count;
    if (first <= end && target == table.first_target + (first - table.first_entry)) {
        table.entry_count = std::max(end, first + count) - table.first_entry;
        return;
    }
    throw Failure(
        ErrorCode::kNoKernel,
        "the kernel asks for its P2M so close to its own image that one page table would have to serve "
        "both: it is not a kernel for paravirtual domains");
}

void fill_leaves(std::vector<PageTable>& tables, const TableSet& set, const Stretch& stretch) {
    if (stretch.pages == 0) return;
    const uint64_t span = entry_span(1) * kEntries;
    for (uint64_t index = stretch.virtual_address / span; index <= stretch.last() / span; index++) {
        const uint64_t begin = std::max(stretch.virtual_address, index * span);
        const uint64_t end = std::min(stretch.last(), index * span + (span - 1));
        add_entries(tables[set[1].at(index)], static_cast<unsigned>((begin - index * span) / kPage),
                    static_cast<unsigned>((end - begin) / kPage + 1),
                    stretch.first.raw() + (begin - stretch.virtual_address) / kPage);
    }
}

class Planner {
public:
    explicit Planner(const PlanRequest& request) : request_(request) {}

    Plan make() {
        plan_.memory_pages = request_.memory_pages;
        plan_.entry = request_.kernel.entry;
        plan_.ramdisk_bytes = request_.ramdisk_bytes;
        place_kernel();
        place_early();
        place_tables_and_stack();
        place_late();
        check_memory();
        make_tables();
        return std::move(plan_);
    }

private:
    uint64_t virtual_of(Pfn pfn) const { return request_.kernel.virt_base + pfn.raw() * kPage; }

    FrameRange take(uint64_t pages) {
        const FrameRange range{Pfn(next_), pages};
        next_ += pages;
        return range;
    }

    void place_kernel() {
        const KernelDescription& kernel = request_.kernel;
        if (kernel.segments.empty()) throw Failure(ErrorCode::kNoKernel, "the kernel has nothing to load");
        const uint64_t base = kernel.virt_base;
        if (base % kRegionAlignment != 0 || !is_canonical(base)) {
            throw Failure(ErrorCode::kNoKernel,
                          fmt::format("the kernel's base address {:#x} is not a multiple of "
                                      "4 MiB: this is not a kernel for paravirtual domains",
                                      base));
        }
        const uint64_t start = kernel.segments.front().virtual_address;
        const KernelSegment& last = kernel.segments.back();
        const uint64_t end = last.virtual_address + last.memory_bytes;
        if (start < base || end < start || end - base > kMaxRegion) {
            throw Failure(
                ErrorCode::kNoKernel,
                fmt::format("the kernel's image, {:#x} to {:#x}, does not lie within 1 GiB above its base "
                            "{:#x}: the file is damaged, or not a kernel for paravirtual domains",
                            start, end, base));
        }
        plan_.kernel.first = Pfn((start - base) / kPage);
        next_ = pages_for(end - base);
        plan_.kernel.count = next_ - plan_.kernel.first.raw();
        if (kernel.entry < base || kernel.entry >= end) {
            throw Failure(ErrorCode::kNoKernel,
                          fmt::format("the kernel's entry {:#x} lies outside its image", kernel.entry));
        }
    }

    void place_early() {
        plan_.ramdisk_mapped = request_.ramdisk_bytes != 0 && !request_.kernel.module_is_pfn;
        if (plan_.ramdisk_mapped) {
            plan_.ramdisk = take(pages_for(request_.ramdisk_bytes));
            plan_.ramdisk_virtual = virtual_of(plan_.ramdisk.first);
        }
        if (!request_.kernel.p2m_base) {
            plan_.p2m = take(p2m_pages());
            plan_.p2m_virtual = virtual_of(plan_.p2m.first);
        }
        plan_.start_info = take(1).first;
        plan_.start_info_virtual = virtual_of(plan_.start_info);
        plan_.xenstore = take(1).first;
        plan_.console = take(1).first;
    }

    // The tables map themselves, so their number is found by trying.
    void place_tables_and_stack() {
        const uint64_t before = next_;
        uint64_t count = kLevels;
        while (true) {
            const uint64_t used = (before + count + 1) * kPage;
            const uint64_t bytes = round_up(used + kRegionSlack, kRegionAlignment);
            plan_.mapped = FrameRange{Pfn(0), bytes / kPage};
            tables_ = {};
            note_tables(tables_, region());
            const uint64_t needed = count_tables(tables_);
            if (needed <= count) break;
            count = needed;
        }
        plan_.page_tables = take(count);
        plan_.page_tables_virtual = virtual_of(plan_.page_tables.first);
        plan_.boot_stack = take(1).first;
        plan_.boot_stack_top_virtual = virtual_of(plan_.boot_stack.plus(1));
        plan_.mapped_virtual = request_.kernel.virt_base;
        const uint64_t region_last = region().last();
        if (region_last < request_.kernel.virt_base || !is_canonical(region_last) ||
            overlaps_hypervisor(region())) {
            throw Failure(ErrorCode::kNoKernel,
                          "the kernel's initial mapping would reach into addresses that no "
                          "domain may use: the ramdisk is too large, or the kernel is damaged");
        }
    }

    // Behind the region, so that nothing of it is mapped twice.
    void place_late() {
        next_ = std::max(next_, plan_.mapped.count);
        if (request_.ramdisk_bytes != 0 && !plan_.ramdisk_mapped) {
            plan_.ramdisk = take(pages_for(request_.ramdisk_bytes));
        }
        if (request_.kernel.p2m_base) {
            plan_.p2m_virtual = *request_.kernel.p2m_base;
            plan_.p2m = take(p2m_pages());
            if (plan_.p2m_virtual % kPage != 0 || !is_canonical(plan_.p2m_virtual) ||
                overlaps_hypervisor(own_p2m()) || own_p2m().last() < plan_.p2m_virtual) {
                throw Failure(ErrorCode::kNoKernel,
                              fmt::format("the kernel asks for its P2M at {:#x}, which no domain "
                                          "may use: the file is damaged",
                                          plan_.p2m_virtual));
            }
            const uint64_t before = count_tables(tables_);
            note_tables(tables_, own_p2m());
            plan_.p2m_tables = take(count_tables(tables_) - before);
        }
    }

    void check_memory() {
        plan_.needed_pages = next_;
        if (next_ <= request_.memory_pages) return;
        const uint64_t mebibytes = (next_ * kPage + (1u << 20) - 1) >> 20;
        throw Failure(
            ErrorCode::kNoMemory,
            fmt::format("{} MiB of memory is too little: this kernel and its ramdisk need at least {} MiB "
                        "to start. Give the domain more memory",
                        request_.memory_pages >> 8, mebibytes));
    }

    // Tables of the region first, top level down, so that their frames are the ones set aside for them.
    void make_tables() {
        TableSet of_region;
        note_tables(of_region, region());
        uint64_t region_frame = plan_.page_tables.first.raw();
        uint64_t other_frame = plan_.p2m_tables.first.raw();
        for (unsigned level = kLevels; level >= 1; level--) {
            for (auto& [index, position] : tables_[level]) {
                position = plan_.tables.size();
                const bool in_region = of_region[level].contains(index);
                uint64_t& frame = in_region ? region_frame : other_frame;
                plan_.tables.push_back(PageTable{level, Pfn(frame++), 0, 0, 0});
            }
        }
        fill_leaves(plan_.tables, tables_, region());
        if (request_.kernel.p2m_base) fill_leaves(plan_.tables, tables_, own_p2m());
        link_tables();
    }

    // Upper levels may have entries in two places; each run becomes a table record of its own for the same
    // frame.
    void link_tables() {
        for (unsigned level = kLevels; level >= 2; level--) {
            for (const auto& [index, position] : tables_[level]) {
                std::vector<PageTable> runs;
                for (const auto& [child_index, child] : tables_[level - 1]) {
                    const bool top = level == kLevels;
                    if (!top && child_index / kEntries != index) continue;
                    const unsigned entry = static_cast<unsigned>(child_index % kEntries);
                    if (!runs.empty() && entry == runs.back().first_entry + runs.back().entry_count &&
                        child == runs.back().first_target + runs.back().entry_count) {
                        runs.back().entry_count++;
                    } else {
                        runs.push_back(PageTable{level, plan_.tables[position].frame, entry, 1, child});
                    }
                }
                plan_.tables[position] = runs.front();
                extra_runs_.insert(extra_runs_.end(), runs.begin() + 1, runs.end());
            }
        }
        plan_.tables.insert(plan_.tables.end(), extra_runs_.begin(), extra_runs_.end());
    }

    uint64_t p2m_pages() const { return pages_for(request_.memory_pages * sizeof(uint64_t)); }
    Stretch region() const { return {request_.kernel.virt_base, plan_.mapped.count, Pfn(0)}; }
    Stretch own_p2m() const { return {plan_.p2m_virtual, plan_.p2m.count, plan_.p2m.first}; }
    static bool overlaps_hypervisor(const Stretch& stretch) {
        return stretch.virtual_address < abi::kHypervisorVirtEnd &&
               stretch.last() >= abi::kHypervisorVirtStart;
    }

    const PlanRequest& request_;
    Plan plan_;
    uint64_t next_ = 0;  // first PFN not given away
    TableSet tables_;
    std::vector<PageTable> extra_runs_;
};

}  // namespace

Plan make_plan(const PlanRequest& request) {
    return Planner(request).make();
}

}  // namespace torii::dom0
