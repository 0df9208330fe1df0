// Translations that the guest forgot to flush must not let it write a page table, or reach a frame it has
// given up.

#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

int64_t table_op(abi::MmuextOpCommand command, const Page* page) {
    abi::MmuextOp op{};
    op.cmd = static_cast<uint32_t>(command);
    op.arg1.mfn = mfn_of(page);
    return mmuext_op(&op, 1);
}

int64_t change_without_flush(const Page* page, uint64_t entry) {
    return update_va_mapping(virtual_address(page), entry, abi::kUvmfNone);
}

}  // namespace

GUEST_TEST(stale_writable_to_table, "A stale writable translation of a new page table does not write it") {
    Page* page = allocate_page();
    Page* window = allocate_page();
    CHECK_SUCCEEDS(update_va_mapping(virtual_address(window), make_entry(mfn_of(page), kPtePage)));
    volatile uint64_t* word = &const_cast<volatile Page*>(window)->words[3];
    *word = 0;  // now in the TLB, writable and dirty
    CHECK_SUCCEEDS(map_read_only(page));
    CHECK_SUCCEEDS(change_without_flush(window, make_entry(mfn_of(page), kPteReadOnlyPage)));
    CHECK_SUCCEEDS(table_op(abi::MmuextOpCommand::kPinL1Table, page));
    // Not a sound entry: neither the CPU nor the emulation may put it there.
    const uint64_t forged = make_entry(mfn_of(boot_l4()), kPtePage);
    const Caught caught = catch_trap([&] { *word = forged; });
    CHECK(caught.is(kVectorPageFault));
    CHECK_EQUAL(page->words[3], 0u);
    CHECK_SUCCEEDS(table_op(abi::MmuextOpCommand::kUnpinTable, page));
    CHECK_SUCCEEDS(map_writable(window));
    CHECK_SUCCEEDS(map_writable(page));
    free_page(window);
    free_page(page);
}

GUEST_TEST(stale_to_given_back,
           "A stale translation of a frame that was given back does not reach its next owner's") {
    Page* page = allocate_page();
    volatile uint64_t* word = &const_cast<volatile Page*>(page)->words[0];
    *word = 1;
    const uint64_t pfn = pfn_of(page);
    uint64_t mfn = mfn_of(page);
    CHECK_SUCCEEDS(change_without_flush(page, 0));
    abi::MemoryReservation reservation{{virtual_address(&mfn)}, 1, 0, 0, abi::kDomIdSelf, {}};
    CHECK_EQUAL(memory_op(abi::MemoryOp::kDecreaseReservation, reservation), 1);
    // Ours again as a page table elsewhere: a write through the old translation must not reach it.
    mfn = pfn;
    CHECK_EQUAL(memory_op(abi::MemoryOp::kPopulatePhysmap, reservation), 1);
    set_mfn_of_pfn(pfn, mfn);
    abi::MmuextOp clear{};
    clear.cmd = static_cast<uint32_t>(abi::MmuextOpCommand::kClearPage);
    clear.arg1.mfn = mfn;
    CHECK_SUCCEEDS(mmuext_op(&clear, 1));
    CHECK_SUCCEEDS(table_op(abi::MmuextOpCommand::kPinL1Table, page));
    const Caught caught = catch_trap([&] { *word = make_entry(mfn_of(boot_l4()), kPtePage); });
    CHECK(caught.is(kVectorPageFault));
    CHECK_SUCCEEDS(table_op(abi::MmuextOpCommand::kUnpinTable, page));
    CHECK_SUCCEEDS(map_writable(page));
    CHECK_EQUAL(*word, 0u);
    free_page(page);
}

GUEST_TEST(stale_table_below,
           "After an L2 entry is taken out its addresses are gone, flushed by the guest or not") {
    Page* page = allocate_page();
    ScratchMapping mapping = make_scratch_mapping(8, make_entry(mfn_of(page), kPtePage));
    volatile auto* word = reinterpret_cast<volatile uint64_t*>(mapping.address);
    *word = 7;
    const abi::MmuUpdate remove{machine_address_of(&mapping.l2->words[0]), 0};
    CHECK_SUCCEEDS(mmu_update(&remove, 1));
    CHECK(catch_trap([&] { *word = 8; }).is(kVectorPageFault));
    CHECK_EQUAL(page->words[0], 7u);
    const abi::MmuUpdate restore{machine_address_of(&mapping.l2->words[0]),
                                 make_entry(mfn_of(mapping.l1), kPteTable)};
    CHECK_SUCCEEDS(mmu_update(&restore, 1));
    *word = 9;
    CHECK_EQUAL(page->words[0], 9u);
    drop_scratch_mapping(mapping);
    free_page(page);
}
