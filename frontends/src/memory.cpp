#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

namespace torii::guest {

namespace {

// The kit's whole memory: part of the kernel image, so it is mapped from the start.
constexpr size_t kArenaPages = 2048;
Page g_arena[kArenaPages];

// A stack of free pages; filled upon first use.
Page* g_free[kArenaPages];
size_t g_free_count;
bool g_arena_ready;

void prepare_arena() {
    if (g_arena_ready) return;
    for (size_t index = 0; index < kArenaPages; ++index) {
        g_free[index] = &g_arena[kArenaPages - 1 - index];
    }
    g_free_count = kArenaPages;
    g_arena_ready = true;
}

const uint64_t* p2m() {
    return reinterpret_cast<const uint64_t*>(start_info().mfn_list);
}

unsigned table_index(uint64_t address, unsigned level) {
    return (address >> (12 + 9 * (level - 1))) & 511;
}

void write_entry(const Page* table, unsigned index, uint64_t value) {
    const abi::MmuUpdate update{machine_address_of(&table->words[index]), value};
    if (mmu_update(&update, 1) != 0) error("a page-table entry of the kit was refused");
}

}  // namespace

Page* allocate_page() {
    prepare_arena();
    if (g_free_count == 0) {
        error("the kit's page arena is used up");
        shutdown(abi::ShutdownReason::kCrash);
    }
    Page* page = g_free[--g_free_count];
    __builtin_memset(page, 0, sizeof(*page));
    return page;
}

void free_page(Page* page) {
    g_free[g_free_count++] = page;
}

size_t free_page_count() {
    prepare_arena();
    return g_free_count;
}

uint64_t mfn_of_pfn(uint64_t pfn) {
    return p2m()[pfn];
}

void set_mfn_of_pfn(uint64_t pfn, uint64_t mfn) {
    const_cast<uint64_t*>(p2m())[pfn] = mfn;
}

uint64_t pfn_of_mfn(uint64_t mfn) {
    return reinterpret_cast<const uint64_t*>(abi::kMachineToPhysVirtStart)[mfn];
}

Page* boot_l4() {
    return reinterpret_cast<Page*>(start_info().pt_base);
}

const uint64_t* table_entry(uint64_t address, unsigned level) {
    const Page* table = boot_l4();
    for (unsigned current = 4;; --current) {
        const uint64_t* entry = &table->words[table_index(address, current)];
        if (current == level) return entry;
        if ((*entry & kPtePresent) == 0) return nullptr;
        table =
            static_cast<const Page*>(pointer_of_pfn(pfn_of_mfn((*entry & kPteFrameMask) / abi::kPageSize)));
    }
}

int64_t map_read_only(const void* page) {
    return update_va_mapping(virtual_address(page), make_entry(mfn_of(page), kPteReadOnlyPage));
}

int64_t map_writable(const void* page) {
    return update_va_mapping(virtual_address(page), make_entry(mfn_of(page), kPtePage));
}

ScratchMapping make_scratch_mapping(unsigned l4_slot, uint64_t entry) {
    ScratchMapping mapping;
    mapping.l1 = allocate_page();
    mapping.l2 = allocate_page();
    mapping.l3 = allocate_page();
    mapping.l1->words[0] = entry;
    mapping.l2->words[0] = make_entry(mfn_of(mapping.l1), kPteTable);
    mapping.l3->words[0] = make_entry(mfn_of(mapping.l2), kPteTable);
    for (const Page* page : {mapping.l1, mapping.l2, mapping.l3}) {
        if (map_read_only(page) != 0) error("a page could not be mapped read-only");
    }
    write_entry(boot_l4(), l4_slot, make_entry(mfn_of(mapping.l3), kPteTable));
    mapping.address = uint64_t{l4_slot} << 39;
    if (l4_slot >= 256) mapping.address |= 0xFFFF'0000'0000'0000;
    return mapping;
}

void drop_scratch_mapping(ScratchMapping& mapping) {
    write_entry(boot_l4(), static_cast<unsigned>(mapping.address >> 39) & 511, 0);
    for (Page* page : {mapping.l1, mapping.l2, mapping.l3}) {
        if (map_writable(page) != 0) error("a former page table could not be mapped writable");
        free_page(page);
    }
    mapping = {};
}

}  // namespace torii::guest
