// The hypervisor's own address space: slots 256 to 271.
#pragma once

#include "base/frame.h"
#include "base/ids.h"

namespace torii::hw {

// A source of zeroed frames while the allocator doesn't exist yet: takes from the end of a range of low RAM.
class EarlyFrames {
public:
    constexpr EarlyFrames() = default;
    void set(Mfn first, Mfn end) {
        first_ = first;
        end_ = end;
    }
    [[nodiscard]] Mfn take(uint64_t count, uint64_t alignment_frames = 1);
    [[nodiscard]] Mfn first() const { return first_; }
    [[nodiscard]] Mfn spare() const { return spare_; }
    [[nodiscard]] Mfn spare_end() const { return spare_end_; }
    [[nodiscard]] Mfn end() const { return end_; }

private:
    Mfn first_{};
    Mfn end_{};
    // What aligning the last block left above it: single frames come from here.
    Mfn spare_{};
    Mfn spare_end_{};
};

enum class Protection : uint8_t { kReadOnly, kReadWrite, kExecute };

// The hypervisor's root table; idle CPUs run on it.
extern Mfn hypervisor_root;
// A page of zeros, which stands for the pages of a GDT that the guest has not set: selectors there name
// absent segments.
extern Mfn empty_gdt_page;

// Makes the tables that all address spaces share: image by protection, direct map, and empty tables for the
// rest. Switches to them.
void build_address_space(EarlyFrames& early, Mfn end_of_ram, uint64_t direct_map_limit_frames);
// Backs [virtual, +bytes) by fresh frames.
void map_fresh(EarlyFrames& early, uint64_t virtual_start, uint64_t bytes);
// Shows `count` frames at `virtual_start` to guests, read-only; both 2 MiB aligned.
void map_for_guests(EarlyFrames& early, uint64_t virtual_start, Mfn first, uint64_t large_pages);
// 2 MiB of the hypervisor's own.
void map_large(uint64_t virtual_address, Mfn first);
// From here on page tables come from the allocator.
void finish_early(EarlyFrames& early);
// One page of the hypervisor's own; replaces what was there, without a flush of other CPUs.
void map_page(uint64_t virtual_address, Mfn mfn, Protection protection);
// The page-table entry behind a 4 KiB page whose tables exist.
[[nodiscard]] uint64_t* entry_of(uint64_t virtual_address);
// For the views of isolated guests (guest_view.h): an empty table; one page of the hypervisor's own shown
// under another root too; the 2 MiB around an address shared with another root, whatever is mapped there
// later.
[[nodiscard]] Mfn new_table();
void show_page_in(Mfn root, uint64_t virtual_address, bool writable);
void share_large_page_in(Mfn root, uint64_t virtual_address);
// Device registers: uncached, for ever.
[[nodiscard]] void* map_device(MachineAddr address, uint64_t bytes);

// A device's page, uncached, in a window of the calling CPU; given back by window_unmap.
[[nodiscard]] void* map_device_window(Mfn mfn);

// The area of a CPU: local data, GDT and LDT windows, stacks.
void build_cpu_area(CpuId cpu);

// After the handover: boot code and data go to the allocator.
void release_boot_memory();

}  // namespace torii::hw
