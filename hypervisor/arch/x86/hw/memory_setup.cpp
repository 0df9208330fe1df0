#include "arch/x86/hw/memory_setup.h"

#include <cstring>

#include "arch/x86/hw/layout.h"
#include "arch/x86/hw/paging.h"
#include "core/memory/allocator.h"
#include "core/memory/frame_table.h"
#include "core/memory/m2p.h"
#include "core/memory/machine_map.h"
#include "port/frames.h"

extern "C" {
extern char image_start[], image_end[];
}

namespace torii {

uint64_t* m2p_table = reinterpret_cast<uint64_t*>(TORII_M2P_WRITABLE);

namespace hw {
namespace {

constexpr uint64_t kSectionFrames = uint64_t{1} << kSectionShift;
constexpr uint64_t kSectionsPerWordPage = kPageSize * 8;
constexpr uint64_t kM2pChunkFrames = 512 * 512;  // frames whose M2P entries fill 2 MiB
constexpr Mfn kEndOfLowMegabyte{256};

constinit EarlyFrames early;

struct Range {
    uint64_t start;
    uint64_t end;
};

template <class Visit>
void each_ram_range(Visit&& visit) {
    for (unsigned i = 0; i < boot_memory_map.count; ++i) {
        const abi::E820Entry& entry = boot_memory_map.entries[i];
        if (entry.type != static_cast<uint32_t>(abi::E820Type::kRam)) continue;
        const Range range{pages_for(entry.address), (entry.address + entry.size) >> kPageShift};
        if (range.end > range.start) visit(range);
    }
}

// What early memory must keep clear of, as frame ranges.
struct Taken {
    Range ranges[BootInformation::kMostModules + 2];
    unsigned count = 0;
    void add(uint64_t start, uint64_t end) { ranges[count++] = {start >> kPageShift, pages_for(end)}; }
};

Taken taken_ranges(const BootInformation& info) {
    Taken taken;
    taken.add(0, kEndOfLowMegabyte.raw() << kPageShift);
    taken.add(image_address(image_start).raw(), image_address(image_end).raw());
    for (unsigned i = 0; i < info.module_count; ++i)
        taken.add(info.modules[i].start.raw(), info.modules[i].end.raw());
    return taken;
}

// Calls `visit` for each stretch of RAM below `limit` that nothing of `taken` lies in.
template <class Visit>
void each_free_range(const Taken& taken, uint64_t limit, Visit&& visit) {
    each_ram_range([&](Range range) {
        if (range.end > limit) range.end = limit;
        while (range.start < range.end) {
            // The first taken range at or behind the start.
            Range next{range.end, range.end};
            for (unsigned i = 0; i < taken.count; ++i) {
                const Range& other = taken.ranges[i];
                if (other.end > range.start && other.start < next.start) next = other;
            }
            if (next.start > range.start) visit(Range{range.start, next.start});
            range.start = next.end > range.start ? next.end : range.end;
        }
    });
}

// Frames that the direct map covers at the least, whatever the option says: image and modules.
uint64_t needed_in_direct_map(const Taken& taken) {
    uint64_t end = 0;
    for (unsigned i = 0; i < taken.count; ++i) {
        if (taken.ranges[i].end > end) end = taken.ranges[i].end;
    }
    return end;
}

void choose_early_range(const Taken& taken, uint64_t limit) {
    constexpr uint64_t kFourGigabytes = uint64_t{1} << (32 - kPageShift);
    Range largest{0, 0};
    each_free_range(taken, limit < kFourGigabytes ? limit : kFourGigabytes, [&](Range range) {
        if (range.end - range.start > largest.end - largest.start) largest = range;
    });
    early.set(Mfn(largest.start), Mfn(largest.end));
}

void mark_sections() {
    const uint64_t sections = (boot_memory_map.end_of_ram.raw() >> kSectionShift) + 1;
    auto* const section_bits = static_cast<uint64_t*>(
        direct_address(early.take((sections + kSectionsPerWordPage - 1) / kSectionsPerWordPage)));
    each_ram_range([section_bits](Range range) {
        for (uint64_t section = range.start >> kSectionShift; section <= (range.end - 1) >> kSectionShift;
             ++section) {
            section_bits[section / 64] |= uint64_t{1} << (section % 64);
            const uint64_t end = (section + 1) << kSectionShift;
            if (end > frame_table.end) frame_table.end = end;
        }
    });
    frame_table.section_bits = section_bits;
    frame_table.base = reinterpret_cast<Frame*>(TORII_FRAME_TABLE);
}

// One for each GiB that has RAM; XENMEM_machphys_mfn_list names no more than a page of them.
constexpr unsigned kMostM2pChunks = kPageSize / sizeof(Mfn);

void build_m2p() {
    unsigned chunks = 0;
    auto* const m2p_superpages = static_cast<Mfn*>(direct_address(early.take(1)));
    for (uint64_t first = 0; first < frame_table.end; first += kM2pChunkFrames) {
        bool used = false;
        for (uint64_t at = first; at < first + kM2pChunkFrames; at += kSectionFrames)
            used |= frame_exists(Mfn(at));
        if (!used) continue;
        const Mfn frames = early.take(512, 512);
        memset(direct_address(frames), 0xff, 512 * kPageSize);
        const uint64_t offset = first * sizeof(uint64_t);
        map_for_guests(early, TORII_M2P_READ_ONLY + offset, frames, 1);
        map_large(TORII_M2P_WRITABLE + offset, frames);
        if (chunks < kMostM2pChunks) m2p_superpages[chunks++] = frames;
    }
    m2p_frames = {m2p_superpages, chunks};
}

void build_frame_table() {
    for (uint64_t first = 0; first < frame_table.end; first += kSectionFrames) {
        if (frame_exists(Mfn(first)))
            map_fresh(early, TORII_FRAME_TABLE + first * sizeof(Frame), kSectionFrames * sizeof(Frame));
    }
}

void own(Range range, DomId owner) {
    for (uint64_t at = range.start; at < range.end; ++at) {
        Frame& frame = frame_at(Mfn(at));
        frame.set_owner(owner);
        frame.count.store(1, std::memory_order_relaxed);
    }
}

// At first everything with an entry is nobody's RAM; what isn't RAM, or is in use, is marked.
void fill_frame_table(const Taken& taken) {
    uint64_t after_ram = 0;
    const auto mark_gap = [&](uint64_t end) {
        for (uint64_t at = after_ram; at < end; ++at) {
            if (frame_exists(Mfn(at))) own({at, at + 1}, kOwnerIo);
        }
    };
    each_ram_range([&](Range range) {
        mark_gap(range.start);
        after_ram = range.end;
        for (uint64_t at = range.start; at < range.end; ++at)
            frame_at(Mfn(at)).set_owner(kOwnerNone);
    });
    mark_gap(frame_table.end);
    for (unsigned i = 1; i < taken.count; ++i)
        own(taken.ranges[i], kOwnerXen);
    // All of the first megabyte counts as device memory, RAM too: firmware keeps data there that dom0 looks
    // for.
    own({0, kEndOfLowMegabyte.raw()}, kOwnerIo);
}

}  // namespace

void set_up_memory(const BootInformation& info, uint64_t direct_map_limit) {
    const Taken taken = taken_ranges(info);
    uint64_t directly_mapped = direct_map_limit != 0 ? direct_map_limit >> kPageShift : ~uint64_t{0};
    if (directly_mapped < needed_in_direct_map(taken)) directly_mapped = needed_in_direct_map(taken);
    choose_early_range(taken, directly_mapped);
    const Mfn early_end = early.end();
    build_address_space(early, boot_memory_map.end_of_ram, directly_mapped);
    mark_sections();
    build_frame_table();
    build_m2p();
    fill_frame_table(taken);
    // What early memory took is the hypervisor's; the rest is free. From here on there is an allocator.
    own({early.end().raw(), early.spare().raw()}, kOwnerXen);
    own({early.spare_end().raw(), early_end.raw()}, kOwnerXen);
    finish_early(early);
    allocator_add(early.spare(), early.spare_end() - early.spare(), true);
    each_free_range(taken, ~uint64_t{0}, [&](Range range) {
        if (range.start == early.first().raw()) {
            allocator_add(Mfn(range.start), early.end() - early.first(), true);
            range.start = early_end.raw();
        }
        if (range.start < range.end) allocator_add(Mfn(range.start), range.end - range.start, true);
    });
}

void release_modules(const BootInformation& info) {
    for (unsigned i = 0; i < info.module_count; ++i) {
        const uint64_t start = info.modules[i].start.raw() >> kPageShift;
        const uint64_t end = pages_for(info.modules[i].end.raw());
        for (uint64_t at = start; at < end; ++at) {
            frame_at(Mfn(at)).count.store(0, std::memory_order_relaxed);
            frame_at(Mfn(at)).set_owner(kOwnerNone);
        }
        allocator_add(Mfn(start), end - start, true);
    }
}

}  // namespace hw
}  // namespace torii
