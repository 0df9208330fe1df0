// Operations long enough to be interrupted in the middle: they go on by themselves and are done once, whole.

#include <torii/guest/events.h>
#include <torii/guest/grants.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

constexpr uint64_t kMillisecond = 1'000'000;
constexpr unsigned kTables = 256;

// A timer that ticks while a test runs, so that long calls have a reason to stop.
class Ticking {
public:
    Ticking() : port_(static_cast<RawPort>(bind_virq(abi::Virq::kTimer))) {
        handle_event(port_, [](RawPort, void*) {});
        abi::VcpuSetPeriodicTimer period{2 * kMillisecond};
        CHECK_SUCCEEDS(vcpu_op(abi::VcpuOp::kSetPeriodicTimer, 0, period));
        unmask_upcalls();
    }
    ~Ticking() {
        mask_upcalls();
        vcpu_op(abi::VcpuOp::kStopPeriodicTimer, 0);
        handle_event(port_, nullptr);
        close_port(port_);
    }

private:
    RawPort port_;
};

int64_t table_op(abi::MmuextOpCommand command, const Page* page) {
    abi::MmuextOp op{};
    op.cmd = static_cast<uint32_t>(command);
    op.arg1.mfn = mfn_of(page);
    return mmuext_op(&op, 1);
}

}  // namespace

GUEST_TEST(batch_pin_tree, "A tree of 256 full L1 tables is pinned and unpinned in one call each") {
    static Page* tables[kTables];
    const Ticking ticking;
    Page* data = allocate_page();
    Page* root = allocate_page();
    for (unsigned index = 0; index < kTables; ++index) {
        tables[index] = allocate_page();
        for (uint64_t& entry : tables[index]->words) {
            entry = make_entry(mfn_of(data), kPtePage);
        }
        root->words[index] = make_entry(mfn_of(tables[index]), kPteTable);
        CHECK_SUCCEEDS(map_read_only(tables[index]));
    }
    CHECK_SUCCEEDS(map_read_only(root));
    CHECK_SUCCEEDS(table_op(abi::MmuextOpCommand::kPinL2Table, root));
    CHECK_FAILS(map_writable(tables[kTables - 1]), kEBUSY);
    CHECK_SUCCEEDS(table_op(abi::MmuextOpCommand::kUnpinTable, root));
    for (Page* table : tables) {
        if (!CHECK_SUCCEEDS(map_writable(table))) return;
        free_page(table);
    }
    CHECK_SUCCEEDS(map_writable(root));
    free_page(root);
    // Every reference of the tree has been given back: the page can change its type.
    CHECK_SUCCEEDS(map_read_only(data));
    CHECK_SUCCEEDS(table_op(abi::MmuextOpCommand::kPinL1Table, data));
    CHECK_SUCCEEDS(table_op(abi::MmuextOpCommand::kUnpinTable, data));
    CHECK_SUCCEEDS(map_writable(data));
    free_page(data);
}

GUEST_TEST(batch_pin_refused_late,
           "A tree whose very last entry is bad is refused, and nothing of it stays a page table") {
    static Page* tables[kTables];
    const Ticking ticking;
    Page* data = allocate_page();
    Page* root = allocate_page();
    for (unsigned index = 0; index < kTables; ++index) {
        tables[index] = allocate_page();
        for (uint64_t& entry : tables[index]->words) {
            entry = make_entry(mfn_of(data), kPtePage);
        }
        if (index == kTables - 1) tables[index]->words[511] = make_entry(mfn_of(boot_l4()), kPtePage);
        root->words[index] = make_entry(mfn_of(tables[index]), kPteTable);
        CHECK_SUCCEEDS(map_read_only(tables[index]));
    }
    CHECK_SUCCEEDS(map_read_only(root));
    CHECK(table_op(abi::MmuextOpCommand::kPinL2Table, root) < 0);
    for (Page* table : tables) {
        if (!CHECK_SUCCEEDS(map_writable(table))) return;
        free_page(table);
    }
    CHECK_SUCCEEDS(map_writable(root));
    free_page(root);
    free_page(data);
}

GUEST_TEST(batch_mmu_updates, "Thousands of updates in one call are done in order, and counted") {
    static abi::MmuUpdate updates[4096];
    const Ticking ticking;
    Page* page = allocate_page();
    ScratchMapping mapping = make_scratch_mapping(7, 0);
    for (unsigned index = 0; index < 4096; ++index) {
        // Each entry is set eight times; the last round clears the odd ones.
        const unsigned slot = index % 512;
        const bool clear = index >= 3584 && slot % 2 == 1;
        updates[index] = {machine_address_of(&mapping.l1->words[slot]),
                          clear ? 0 : make_entry(mfn_of(page), kPtePage)};
    }
    uint32_t done = 0;
    CHECK_SUCCEEDS(mmu_update(updates, 4096, &done));
    CHECK_EQUAL(done, 4096u);
    for (unsigned slot = 0; slot < 512; ++slot) {
        if (!CHECK_EQUAL(mapping.l1->words[slot] & kPtePresent, slot % 2 == 1 ? 0 : kPtePresent)) break;
    }
    drop_scratch_mapping(mapping);
    free_page(page);
}

GUEST_TEST(batch_multicall_updates, "A long multicall of page-table updates is done whole") {
    static abi::MulticallEntry entries[400];
    const Ticking ticking;
    Page* page = allocate_page();
    Page* window = allocate_page();
    for (unsigned index = 0; index < 400; ++index) {
        entries[index] = {static_cast<uint64_t>(abi::Hypercall::kUpdateVaMapping),
                          77,
                          {virtual_address(window), index % 2 == 0 ? 0 : make_entry(mfn_of(page), kPtePage),
                           abi::kUvmfInvlpg}};
    }
    CHECK_SUCCEEDS(multicall(entries, 400));
    for (const abi::MulticallEntry& entry : entries) {
        if (!CHECK_EQUAL(entry.result, 0u)) break;
    }
    page->words[0] = 0x66;
    CHECK_EQUAL(const_cast<volatile Page*>(window)->words[0], 0x66u);
    CHECK_SUCCEEDS(map_writable(window));
    free_page(window);
    free_page(page);
}

GUEST_TEST(batch_grant_copies, "A thousand grant copies in one call") {
    static abi::GrantCopy copies[1024];
    const Ticking ticking;
    const Page* source = allocate_page();
    Page* target = allocate_page();
    for (unsigned index = 0; index < 512; ++index) {
        const_cast<Page*>(source)->words[index] = index + 1;
    }
    for (unsigned index = 0; index < 1024; ++index) {
        copies[index] = {};
        copies[index].source = {
            {.gmfn = mfn_of(source)}, abi::kDomIdSelf, static_cast<uint16_t>(index % 512 * 8), 0};
        copies[index].dest = {
            {.gmfn = mfn_of(target)}, abi::kDomIdSelf, static_cast<uint16_t>((511 - index % 512) * 8), 0};
        copies[index].len = 8;
        copies[index].status = 77;
    }
    CHECK_SUCCEEDS(grant_table_op(abi::GrantTableOp::kCopy, copies, 1024));
    for (const abi::GrantCopy& copy : copies) {
        if (!CHECK_EQUAL(copy.status, 0)) break;
    }
    CHECK_EQUAL(target->words[0], 512u);
    CHECK_EQUAL(target->words[511], 1u);
    free_page(const_cast<Page*>(source));
    free_page(target);
}

GUEST_TEST(batch_populate, "Hundreds of frames are given back and taken again in one call each") {
    constexpr uint64_t kCount = 400;
    static uint64_t mfns[kCount];
    static uint64_t pfns[kCount];
    static Page* pages[kCount];
    const Ticking ticking;
    for (uint64_t index = 0; index < kCount; ++index) {
        pages[index] = allocate_page();
        pfns[index] = pfn_of(pages[index]);
        mfns[index] = mfn_of(pages[index]);
        CHECK_SUCCEEDS(update_va_mapping(virtual_address(pages[index]), 0));
    }
    abi::MemoryReservation reservation{{virtual_address(mfns)}, kCount, 0, 0, abi::kDomIdSelf, {}};
    CHECK_EQUAL(memory_op(abi::MemoryOp::kDecreaseReservation, reservation), static_cast<int64_t>(kCount));
    __builtin_memcpy(mfns, pfns, sizeof(pfns));
    CHECK_EQUAL(memory_op(abi::MemoryOp::kPopulatePhysmap, reservation), static_cast<int64_t>(kCount));
    for (uint64_t index = 0; index < kCount; ++index) {
        set_mfn_of_pfn(pfns[index], mfns[index]);
        if (!CHECK_EQUAL(pfn_of_mfn(mfns[index]), pfns[index])) return;
        if (!CHECK_SUCCEEDS(map_writable(pages[index]))) return;
        pages[index]->words[0] = index;
        free_page(pages[index]);
    }
}
