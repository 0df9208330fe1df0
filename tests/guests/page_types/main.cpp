// A frame's life between data, page table and descriptor table, and several references at once.

#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

using Command = abi::MmuextOpCommand;

int64_t table_op(Command command, const Page* page) {
    abi::MmuextOp op{};
    op.cmd = static_cast<uint32_t>(command);
    op.arg1.mfn = mfn_of(page);
    return mmuext_op(&op, 1);
}

}  // namespace

GUEST_TEST(type_round_trip, "One frame is data, each level of table, GDT, and data again") {
    Page* page = allocate_page();
    const uint64_t frame = mfn_of(page);
    page->words[0] = 0;
    CHECK_SUCCEEDS(map_read_only(page));
    for (const Command pin :
         {Command::kPinL1Table, Command::kPinL2Table, Command::kPinL3Table, Command::kPinL4Table}) {
        CHECK_SUCCEEDS(table_op(pin, page));
        CHECK_SUCCEEDS(table_op(Command::kUnpinTable, page));
    }
    // The L4 left the hypervisor's own entries behind: they go when the page is written.
    CHECK_SUCCEEDS(map_writable(page));
    __builtin_memset(page, 0, sizeof(*page));
    CHECK_SUCCEEDS(map_read_only(page));
    CHECK_SUCCEEDS(hypercall(abi::Hypercall::kSetGdt, &frame, 512));
    CHECK(table_op(Command::kPinL1Table, page) < 0);
    CHECK_SUCCEEDS(hypercall(abi::Hypercall::kSetGdt, nullptr, 0));
    CHECK_SUCCEEDS(table_op(Command::kPinL1Table, page));
    CHECK(hypercall(abi::Hypercall::kSetGdt, &frame, 512) < 0);
    CHECK_SUCCEEDS(table_op(Command::kUnpinTable, page));
    CHECK_SUCCEEDS(map_writable(page));
    page->words[0] = 1;
    free_page(page);
}

GUEST_TEST(type_shared_table, "An L1 below two L2s stays a page table until both let go") {
    Page* l1 = allocate_page();
    Page* first = allocate_page();
    Page* second = allocate_page();
    first->words[0] = second->words[5] = make_entry(mfn_of(l1), kPteTable);
    for (const Page* page : {l1, first, second}) {
        CHECK_SUCCEEDS(map_read_only(page));
    }
    CHECK_SUCCEEDS(table_op(Command::kPinL2Table, first));
    CHECK_SUCCEEDS(table_op(Command::kPinL2Table, second));
    CHECK_SUCCEEDS(table_op(Command::kUnpinTable, first));
    CHECK_FAILS(map_writable(l1), kEBUSY);
    CHECK_SUCCEEDS(map_writable(first));
    CHECK_SUCCEEDS(table_op(Command::kUnpinTable, second));
    CHECK_SUCCEEDS(map_writable(l1));
    CHECK_SUCCEEDS(map_writable(second));
    for (Page* page : {l1, first, second}) {
        free_page(page);
    }
}

GUEST_TEST(type_pinned_and_used,
           "Unpinning a table that is in use keeps it one; taking it out of use frees it") {
    Page* l1 = allocate_page();
    Page* l2 = allocate_page();
    CHECK_SUCCEEDS(map_read_only(l1));
    CHECK_SUCCEEDS(table_op(Command::kPinL1Table, l1));
    l2->words[9] = make_entry(mfn_of(l1), kPteTable);
    CHECK_SUCCEEDS(map_read_only(l2));
    CHECK_SUCCEEDS(table_op(Command::kPinL2Table, l2));
    CHECK_SUCCEEDS(table_op(Command::kUnpinTable, l1));
    CHECK_FAILS(map_writable(l1), kEBUSY);
    const abi::MmuUpdate remove{machine_address_of(&l2->words[9]), 0};
    CHECK_SUCCEEDS(mmu_update(&remove, 1));
    CHECK_SUCCEEDS(map_writable(l1));
    CHECK_SUCCEEDS(table_op(Command::kUnpinTable, l2));
    CHECK_SUCCEEDS(map_writable(l2));
    free_page(l1);
    free_page(l2);
}

GUEST_TEST(type_two_writable_mappings,
           "A frame mapped writable twice becomes a table only when both are gone") {
    Page* page = allocate_page();
    Page* window = allocate_page();
    CHECK_SUCCEEDS(update_va_mapping(virtual_address(window), make_entry(mfn_of(page), kPtePage)));
    CHECK_SUCCEEDS(map_read_only(page));
    CHECK(table_op(Command::kPinL1Table, page) < 0);
    CHECK_SUCCEEDS(update_va_mapping(virtual_address(window), make_entry(mfn_of(page), kPteReadOnlyPage)));
    CHECK_SUCCEEDS(table_op(Command::kPinL1Table, page));
    CHECK_SUCCEEDS(table_op(Command::kUnpinTable, page));
    CHECK_SUCCEEDS(map_writable(window));
    CHECK_SUCCEEDS(map_writable(page));
    free_page(window);
    free_page(page);
}

GUEST_TEST(type_reservation_of_table, "A page table cannot be given back while it is one") {
    Page* page = allocate_page();
    const uint64_t pfn = pfn_of(page);
    uint64_t mfn = mfn_of(page);
    CHECK_SUCCEEDS(map_read_only(page));
    CHECK_SUCCEEDS(table_op(Command::kPinL1Table, page));
    abi::MemoryReservation reservation{{virtual_address(&mfn)}, 1, 0, 0, abi::kDomIdSelf, {}};
    const int64_t given = memory_op(abi::MemoryOp::kDecreaseReservation, reservation);
    // Xen drops the pin as it gives the frame back; refusing is as good. In no case is it a page table
    // afterwards and free.
    CHECK(given == 0 || given == 1);
    CHECK_SUCCEEDS(update_va_mapping(virtual_address(page), 0));
    if (given == 0) {
        CHECK_SUCCEEDS(table_op(Command::kUnpinTable, page));
        CHECK_EQUAL(memory_op(abi::MemoryOp::kDecreaseReservation, reservation), 1);
    }
    mfn = pfn;
    CHECK_EQUAL(memory_op(abi::MemoryOp::kPopulatePhysmap, reservation), 1);
    set_mfn_of_pfn(pfn, mfn);
    CHECK_SUCCEEDS(map_writable(page));
    page->words[0] = 1;
    free_page(page);
}
