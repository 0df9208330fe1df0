#include "arch/x86/hw/paging.h"

#include <cstring>

#include "arch/x86/hw/cpu.h"
#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/layout.h"
#include "arch/x86/hw/registers.h"
#include "arch/x86/hw/smp.h"
#include "arch/x86/hw/speculation.h"
#include "arch/x86/pv/page_type.h"
#include "base/lock.h"
#include "base/panic.h"
#include "core/memory/allocator.h"
#include "core/memory/frame_table.h"
#include "port/frames.h"
#include "port/machine.h"

extern "C" {
extern char text_start[], text_end[], rodata_start[], rodata_end[], data_start[], data_end[];
extern char boot_start[], boot_text_end[], boot_end[], stub_page[];
}

namespace torii {

constinit DirectMap direct_map{};

namespace hw {

constinit Mfn hypervisor_root{};
constinit Mfn empty_gdt_page{};

namespace {

constexpr uint64_t kPresent = pv::kPtePresent;
constexpr uint64_t kWrite = pv::kPteWrite;
constexpr uint64_t kUser = pv::kPteUser;
constexpr uint64_t kLarge = pv::kPteLargePage;
constexpr uint64_t kGlobal = pv::kPteGlobal;
constexpr uint64_t kNoExecute = pv::kPteNoExecute;
constexpr uint64_t kAccessedDirty = pv::kPteAccessed | pv::kPteDirty;
constexpr uint64_t kLargePageFrames = 512;
constexpr uint64_t kLargePageBytes = kLargePageFrames * kPageSize;

// Frames for page tables: early ones while booting, from the allocator afterwards.
constinit EarlyFrames* early_source = nullptr;
constinit uint64_t next_device = TORII_PERMANENT_BASE + (uint64_t{1} << 38);

Mfn table_frame() {
    if (early_source != nullptr) return early_source->take(1);
    Result<Mfn> mfn = allocate_frames(0, {.directly_mapped = true});
    if (!mfn.ok()) BUG("no memory for a page table of the hypervisor");
    Frame& frame = frame_at(mfn.value());
    frame.set_owner(kOwnerXen);
    frame.count.store(1, std::memory_order_relaxed);
    return mfn.value();
}

uint64_t* table_at(Mfn mfn) {
    return static_cast<uint64_t*>(direct_address(mfn));
}

// The table below `entry`, made if it isn't there. `user`: guests may see something below it.
uint64_t* next_table(uint64_t& entry, bool user) {
    if ((entry & kPresent) == 0) entry = address_of(table_frame()).raw() | kPresent | kWrite | kAccessedDirty;
    if (user) entry |= kUser;
    return table_at(frame_of(MachineAddr(entry & pv::kPteAddress)));
}

uint64_t& l2_entry(uint64_t address, bool user, Mfn root = hypervisor_root) {
    uint64_t* const l4 = table_at(root);
    uint64_t* const l3 = next_table(l4[pv::l4_slot(address)], user);
    uint64_t* const l2 = next_table(l3[pv::l3_slot(address)], user);
    return l2[pv::l2_slot(address)];
}

uint64_t& l1_entry(uint64_t address) {
    uint64_t* const l1 = next_table(l2_entry(address, false), false);
    return l1[pv::l1_slot(address)];
}

uint64_t flags_of(Protection protection) {
    // A global translation would outlive the way to a guest's view, and be open to Meltdown there.
    const uint64_t common = kPresent | kAccessedDirty | (speculation.isolate_guests ? 0 : kGlobal);
    const uint64_t no_execute = features.no_execute ? kNoExecute : 0;
    switch (protection) {
        case Protection::kReadOnly:
            return common | no_execute;
        case Protection::kReadWrite:
            return common | kWrite | no_execute;
        case Protection::kExecute:
            return common;
    }
    return 0;
}

constexpr uint64_t kDeviceAttributes = pv::kPteCacheDisable | pv::kPteWriteThrough;

uint64_t device_entry(uint64_t address) {
    return address | flags_of(Protection::kReadWrite) | kDeviceAttributes;
}

void map_image_range(const char* from, const char* to, Protection protection) {
    for (const char* at = from; at < to; at += kPageSize)
        l1_entry(reinterpret_cast<uint64_t>(at)) = image_address(at).raw() | flags_of(protection);
}

void map_direct(Mfn end) {
    for (uint64_t frame = 0; frame < end.raw(); frame += kLargePageFrames)
        l2_entry(TORII_DIRECT_MAP + (frame << kPageShift), false) =
            (frame << kPageShift) | flags_of(Protection::kReadWrite) | kLarge;
}

}  // namespace

Mfn EarlyFrames::take(uint64_t count, uint64_t alignment_frames) {
    Mfn taken{};
    if (count == 1 && spare_ < spare_end_) {
        taken = spare_;
        ++spare_;
    } else {
        const uint64_t start = (end_.raw() - count) / alignment_frames * alignment_frames;
        if (count > end_ - first_ || start < first_.raw()) BUG("not enough low memory to start");
        const Mfn after(start + count);
        if (end_ - after > spare_end_ - spare_) {
            spare_ = after;
            spare_end_ = end_;
        }
        end_ = taken = Mfn(start);
    }
    memset(direct_address(taken), 0, count << kPageShift);
    return taken;
}

void build_address_space(EarlyFrames& early, Mfn end_of_ram, uint64_t direct_map_limit_frames) {
    early_source = &early;
    hypervisor_root = early.take(1);
    uint64_t* const root = table_at(hypervisor_root);
    for (unsigned slot = 256; slot <= 271; ++slot)
        (void)next_table(root[slot], slot == 256);
    map_image_range(text_start, text_end, Protection::kExecute);
    map_image_range(rodata_start, rodata_end, Protection::kReadOnly);
    map_image_range(data_start, data_end, Protection::kReadWrite);
    map_image_range(boot_start, boot_text_end, Protection::kExecute);
    map_image_range(boot_text_end, boot_end, Protection::kReadWrite);
    uint64_t frames = end_of_ram.raw();
    constexpr uint64_t kMostFrames = (TORII_DIRECT_MAP_END - TORII_DIRECT_MAP) >> kPageShift;
    if (frames > kMostFrames) frames = kMostFrames;
    if (frames > direct_map_limit_frames) frames = direct_map_limit_frames;
    frames = frames / kLargePageFrames * kLargePageFrames +
             (frames % kLargePageFrames != 0 ? kLargePageFrames : 0);
    map_direct(Mfn(frames));
    for (unsigned slot = 256; slot <= 271; ++slot)
        pv::hypervisor_slots[slot - 256] = root[slot];
    write_cr3(address_of(hypervisor_root).raw());
    direct_map.frames = frames;
}

void map_fresh(EarlyFrames& early, uint64_t virtual_start, uint64_t bytes) {
    const uint64_t end = (virtual_start + bytes + kPageSize - 1) & kPageMask;
    for (uint64_t at = virtual_start & kPageMask; at < end;) {
        if ((at & (kLargePageBytes - 1)) == 0 && end - at >= kLargePageBytes) {
            uint64_t& entry = l2_entry(at, false);
            if (entry == 0) {
                entry = address_of(early.take(kLargePageFrames, kLargePageFrames)).raw() |
                        flags_of(Protection::kReadWrite) | kLarge;
            }
            at += kLargePageBytes;
            continue;
        }
        uint64_t& entry = l1_entry(at);
        if (entry == 0) entry = address_of(early.take(1)).raw() | flags_of(Protection::kReadWrite);
        at += kPageSize;
    }
}

void map_for_guests(EarlyFrames&, uint64_t virtual_start, Mfn first, uint64_t large_pages) {
    for (uint64_t i = 0; i < large_pages; ++i) {
        l2_entry(virtual_start + i * kLargePageBytes, true) =
            address_of(first + i * kLargePageFrames).raw() | flags_of(Protection::kReadOnly) | kUser | kLarge;
    }
}

void map_large(uint64_t virtual_address, Mfn first) {
    l2_entry(virtual_address, false) = address_of(first).raw() | flags_of(Protection::kReadWrite) | kLarge;
}

void finish_early(EarlyFrames&) {
    early_source = nullptr;
}

void map_page(uint64_t virtual_address, Mfn mfn, Protection protection) {
    l1_entry(virtual_address) = address_of(mfn).raw() | flags_of(protection);
    invalidate_page(virtual_address);
}

uint64_t* entry_of(uint64_t virtual_address) {
    return &l1_entry(virtual_address);
}

Mfn new_table() {
    return table_frame();
}

void show_page_in(Mfn root, uint64_t virtual_address, bool writable) {
    uint64_t* const l1 = next_table(l2_entry(virtual_address, false, root), false);
    l1[pv::l1_slot(virtual_address)] = *entry_of(virtual_address) & (writable ? ~uint64_t{0} : ~kWrite);
}

void share_large_page_in(Mfn root, uint64_t virtual_address) {
    l2_entry(virtual_address, false, root) = l2_entry(virtual_address, false);
}

Mfn new_root() {
    const Mfn root = table_frame();
    for (unsigned slot = 256; slot <= 271; ++slot)
        table_at(root)[slot] = pv::hypervisor_slots[slot - 256];
    return root;
}

void map_for_firmware(Mfn root, MachineAddr start, uint64_t bytes, bool cached) {
    const uint64_t flags = kPresent | kWrite | kAccessedDirty | (cached ? 0 : kDeviceAttributes);
    const uint64_t end = (start.raw() + bytes + kPageSize - 1) & kPageMask;
    for (uint64_t at = start.raw() & kPageMask; at < end;) {
        uint64_t& large = l2_entry(at, false, root);
        if (large == 0 && (at & (kLargePageBytes - 1)) == 0 && end - at >= kLargePageBytes) {
            large = at | flags | kLarge;
            at += kLargePageBytes;
            continue;
        }
        next_table(large, false)[pv::l1_slot(at)] = at | flags;
        at += kPageSize;
    }
}

namespace {

void* map_for_ever(MachineAddr address, uint64_t bytes, uint64_t cache_attributes) {
    const uint64_t start = next_device;
    const uint64_t pages = pages_for(offset_in_page(address) + bytes);
    for (uint64_t i = 0; i < pages; ++i) {
        l1_entry(start + (i << kPageShift)) = ((address.raw() & kPageMask) + (i << kPageShift)) |
                                              flags_of(Protection::kReadWrite) | cache_attributes;
    }
    next_device += pages << kPageShift;
    return reinterpret_cast<void*>(start + offset_in_page(address));
}

}  // namespace

// By entries 3 and 4 of the PAT (cpu.cpp).
void* map_device(MachineAddr address, uint64_t bytes) {
    return map_for_ever(address, bytes, kDeviceAttributes);
}
void* map_frame_buffer(MachineAddr address, uint64_t bytes) {
    return map_for_ever(address, bytes, pv::kPtePat);
}

void build_cpu_area(CpuId cpu) {
    const uint64_t area = area_of(cpu);
    map_page(area + TORII_AREA_STUB, frame_of(image_address(stub_page)), Protection::kExecute);
    const auto back = [](uint64_t address) { map_page(address, table_frame(), Protection::kReadWrite); };
    back(area + TORII_AREA_LOCAL);
    back(area + TORII_AREA_GDT + 14 * kPageSize);
    if (empty_gdt_page == Mfn{}) empty_gdt_page = table_frame();
    for (unsigned i = 0; i < 14; ++i)
        map_page(area + TORII_AREA_GDT + i * kPageSize, empty_gdt_page, Protection::kReadOnly);
    // Each stack ends where a vCPU's would, so that what lies at its top is found the same way.
    for (const uint64_t stack : {TORII_AREA_NMI_STACK, TORII_AREA_DOUBLE_FAULT_STACK,
                                 TORII_AREA_MACHINE_CHECK_STACK, TORII_AREA_DEBUG_STACK})
        back(area + stack + TORII_STACK_SIZE - kPageSize);
    const auto back_two = [back](uint64_t stack) {
        back(stack + TORII_STACK_SIZE - kPageSize);
        back(stack + TORII_STACK_SIZE - 2 * kPageSize);
    };
    // The tables behind the windows for LDT and frames exist from now on: they lie in the same two 2 MiB.
    back_two(area + TORII_AREA_IDLE_STACK);
    if (speculation.isolate_guests) back_two(area + TORII_AREA_ENTRY_STACK);
}

void release_boot_memory() {
    const auto start = reinterpret_cast<uint64_t>(boot_start);
    const auto end = reinterpret_cast<uint64_t>(boot_end);
    for (uint64_t at = start; at < end; at += kPageSize) {
        l1_entry(at) = 0;
    }
    flush_globals_everywhere();
    const Mfn first = frame_of(image_address(boot_start));
    for (Mfn mfn = first; mfn < frame_of(image_address(boot_end)); ++mfn) {
        Frame& frame = frame_at(mfn);
        frame.count.store(0, std::memory_order_relaxed);
        frame.set_owner(kOwnerNone);
    }
    allocator_add(first, (end - start) >> kPageShift, true);
}

}  // namespace hw

// --- windows and permanent mappings (port/frames.h) ---
namespace {

constexpr unsigned kWindows = 32;
constexpr unsigned kPermanentMappings = 4096;

// Which places of the permanent area are taken; each is one page.
struct PermanentArea {
    Spinlock lock{LockRank::kWindow};
    uint64_t used[kPermanentMappings / 64]{};
};
constinit PermanentArea permanent_area;

uint64_t take_window() {
    hw::CpuLocal& cpu = hw::local();
    const auto window = static_cast<unsigned>(__builtin_ctzll(~cpu.window_bits));
    if (window >= kWindows) BUG("all mapping windows of this CPU are in use");
    cpu.window_bits |= uint64_t{1} << window;
    return hw::area_of(cpu.id) + TORII_AREA_WINDOWS + window * kPageSize;
}

}  // namespace

void* window_map(Mfn mfn) {
    const uint64_t address = take_window();
    hw::map_page(address, mfn, hw::Protection::kReadWrite);
    return reinterpret_cast<void*>(address);
}

void* hw::map_device_window(Mfn mfn) {
    const uint64_t address = take_window();
    *entry_of(address) = device_entry(address_of(mfn).raw());
    invalidate_page(address);
    return reinterpret_cast<void*>(address);
}

void window_unmap(void* address) {
    hw::CpuLocal& cpu = hw::local();
    const uint64_t window =
        (reinterpret_cast<uint64_t>(address) - hw::area_of(cpu.id) - TORII_AREA_WINDOWS) >> kPageShift;
    BUG_ON(window >= kWindows);
    cpu.window_bits &= ~(uint64_t{1} << window);
}

void* permanent_map(Mfn mfn) {
    if (directly_mapped(mfn)) return direct_address(mfn);
    const LockGuard guard(permanent_area.lock);
    for (unsigned word = 0; word < kPermanentMappings / 64; ++word) {
        if (permanent_area.used[word] == ~uint64_t{0}) continue;
        const auto bit = static_cast<unsigned>(__builtin_ctzll(~permanent_area.used[word]));
        permanent_area.used[word] |= uint64_t{1} << bit;
        const uint64_t address = TORII_PERMANENT_BASE + ((word * uint64_t{64} + bit) << kPageShift);
        hw::map_page(address, mfn, hw::Protection::kReadWrite);
        return reinterpret_cast<void*>(address);
    }
    return nullptr;
}

void permanent_unmap(void* address) {
    const auto place = reinterpret_cast<uint64_t>(address);
    if (place >= TORII_DIRECT_MAP) return;
    const LockGuard guard(permanent_area.lock);
    const uint64_t index = (place - TORII_PERMANENT_BASE) >> kPageShift;
    *hw::entry_of(place) = 0;
    hw::flush_globals_everywhere();
    permanent_area.used[index / 64] &= ~(uint64_t{1} << (index % 64));
}

void zero_frame(Mfn mfn) {
    const MappedFrame page(mfn);
    void* at = page.as<void>();
    uint64_t words = kPageSize / 8;
    asm volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(0ull) : "memory");
}

void copy_frame(Mfn to, Mfn from) {
    const MappedFrame target(to);
    const MappedFrame source(from);
    void* out = target.as<void>();
    const void* in = source.as<const void>();
    uint64_t words = kPageSize / 8;
    asm volatile("rep movsq" : "+D"(out), "+S"(in), "+c"(words) : : "memory");
}

void move_guest_bytes(void* to, const void* from, uint64_t bytes) {
    memmove(to, from, bytes);
}

}  // namespace torii
