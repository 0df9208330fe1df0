// Pinning and unpinning page tables, and what they may hold.

#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
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

constexpr Command kPins[] = {Command::kPinL1Table, Command::kPinL2Table, Command::kPinL3Table,
                             Command::kPinL4Table};

}  // namespace

GUEST_TEST(pin_empty_tables, "An empty read-only page can be pinned at each level, once at a time") {
    Page* page = allocate_page();
    CHECK_SUCCEEDS(map_read_only(page));
    for (const Command pin : kPins) {
        CHECK_SUCCEEDS(table_op(pin, page));
        CHECK_FAILS(table_op(pin, page), kEINVAL);
        CHECK_SUCCEEDS(table_op(Command::kUnpinTable, page));
        CHECK_FAILS(table_op(Command::kUnpinTable, page), kEINVAL);
    }
    CHECK_SUCCEEDS(map_writable(page));
    free_page(page);
}

GUEST_TEST(pin_writable_refused, "A page that is mapped writable cannot become a page table") {
    Page* page = allocate_page();
    for (const Command pin : kPins) {
        const int64_t result = table_op(pin, page);
        CHECK(result < 0);
    }
    page->words[0] = 1;  // still ours to write
    free_page(page);
}

GUEST_TEST(pinned_not_writable, "A page table cannot be mapped writable, until it is none any more") {
    Page* page = allocate_page();
    CHECK_SUCCEEDS(map_read_only(page));
    CHECK_SUCCEEDS(table_op(Command::kPinL1Table, page));
    CHECK_FAILS(map_writable(page), kEBUSY);
    CHECK((*table_entry(virtual_address(page), 1) & kPteWritable) == 0);
    CHECK_SUCCEEDS(table_op(Command::kUnpinTable, page));
    CHECK_SUCCEEDS(map_writable(page));
    page->words[0] = 0;
    free_page(page);
}

GUEST_TEST(pin_other_level_refused, "A page table of one level cannot be pinned at another") {
    Page* page = allocate_page();
    CHECK_SUCCEEDS(map_read_only(page));
    CHECK_SUCCEEDS(table_op(Command::kPinL2Table, page));
    for (const Command pin : {Command::kPinL1Table, Command::kPinL3Table, Command::kPinL4Table}) {
        CHECK(table_op(pin, page) < 0);
    }
    CHECK_SUCCEEDS(table_op(Command::kUnpinTable, page));
    CHECK_SUCCEEDS(map_writable(page));
    free_page(page);
}

GUEST_TEST(pin_bad_content_refused, "A table with one bad entry is refused whole, and leaves no trace") {
    Page* table = allocate_page();
    Page* data = allocate_page();
    table->words[0] = make_entry(mfn_of(data), kPtePage);
    table->words[511] = make_entry(mfn_of(boot_l4()), kPtePage);  // a page table, writable
    CHECK_SUCCEEDS(map_read_only(table));
    CHECK(table_op(Command::kPinL1Table, table) < 0);
    CHECK_SUCCEEDS(map_writable(table));
    table->words[511] = 0;
    CHECK_SUCCEEDS(map_read_only(table));
    CHECK_SUCCEEDS(table_op(Command::kPinL1Table, table));
    // The data page is now writable twice over: it cannot become a page table even when its own mapping is
    // read-only.
    CHECK_SUCCEEDS(map_read_only(data));
    CHECK(table_op(Command::kPinL1Table, data) < 0);
    CHECK_SUCCEEDS(table_op(Command::kUnpinTable, table));
    CHECK_SUCCEEDS(table_op(Command::kPinL1Table, data));
    CHECK_SUCCEEDS(table_op(Command::kUnpinTable, data));
    CHECK_SUCCEEDS(map_writable(table));
    CHECK_SUCCEEDS(map_writable(data));
    free_page(table);
    free_page(data);
}

GUEST_TEST(pin_wrong_child_refused, "An L2 entry that leads to an L2 is refused") {
    Page* parent = allocate_page();
    Page* child = allocate_page();
    parent->words[0] = make_entry(mfn_of(child), kPteTable);
    CHECK_SUCCEEDS(map_read_only(parent));
    CHECK_SUCCEEDS(map_read_only(child));
    CHECK_SUCCEEDS(table_op(Command::kPinL2Table, child));
    CHECK(table_op(Command::kPinL2Table, parent) < 0);
    CHECK_SUCCEEDS(table_op(Command::kUnpinTable, child));
    CHECK_SUCCEEDS(map_writable(parent));
    CHECK_SUCCEEDS(map_writable(child));
    free_page(parent);
    free_page(child);
}

GUEST_TEST(pin_large_page_refused, "Large pages are refused") {
    Page* table = allocate_page();
    table->words[0] = make_entry(mfn_of(table) & ~uint64_t{511}, kPtePage | kPteLarge);
    CHECK_SUCCEEDS(map_read_only(table));
    CHECK(table_op(Command::kPinL2Table, table) < 0);
    CHECK(table_op(Command::kPinL3Table, table) < 0);
    CHECK_SUCCEEDS(map_writable(table));
    free_page(table);
}

GUEST_TEST(pin_reserved_slot_refused,
           "An L4 with entries of its own in the hypervisor's slots is refused or they are replaced") {
    Page* l4 = allocate_page();
    Page* l3 = allocate_page();
    CHECK_SUCCEEDS(map_read_only(l3));
    CHECK_SUCCEEDS(table_op(Command::kPinL3Table, l3));
    const uint64_t wanted = make_entry(mfn_of(l3), kPteTable);
    l4->words[abi::kHypervisorFirstL4Slot + 4] = wanted;
    CHECK_SUCCEEDS(map_read_only(l4));
    if (table_op(Command::kPinL4Table, l4) == 0) {
        CHECK(l4->words[abi::kHypervisorFirstL4Slot + 4] != wanted);
        CHECK_SUCCEEDS(table_op(Command::kUnpinTable, l4));
    }
    CHECK_SUCCEEDS(table_op(Command::kUnpinTable, l3));
    CHECK_SUCCEEDS(map_writable(l3));
    CHECK_SUCCEEDS(map_writable(l4));
    free_page(l3);
    free_page(l4);
}

GUEST_TEST(reserved_slot_update_refused, "The hypervisor's slots of a live L4 cannot be written") {
    for (const unsigned slot :
         {abi::kHypervisorFirstL4Slot, abi::kHypervisorFirstL4Slot + 7, abi::kHypervisorLastL4Slot}) {
        const uint64_t before = boot_l4()->words[slot];
        const abi::MmuUpdate update{machine_address_of(&boot_l4()->words[slot]), 0};
        CHECK(mmu_update(&update, 1) < 0);
        CHECK_EQUAL(boot_l4()->words[slot], before);
    }
}

GUEST_TEST(recursive_table, "A table that leads to itself is refused") {
    Page* l4 = allocate_page();
    l4->words[3] = make_entry(mfn_of(l4), kPtePresent | kPteUser);
    CHECK_SUCCEEDS(map_read_only(l4));
    const int64_t result = table_op(Command::kPinL4Table, l4);
    if (result == 0) {
        CHECK_SUCCEEDS(table_op(Command::kUnpinTable, l4));
        skip("this hypervisor allows read-only linear page tables");
    }
    const int64_t writable = [&] {
        CHECK_SUCCEEDS(map_writable(l4));
        l4->words[3] = make_entry(mfn_of(l4), kPteTable);
        CHECK_SUCCEEDS(map_read_only(l4));
        return table_op(Command::kPinL4Table, l4);
    }();
    CHECK(writable < 0);
    CHECK_SUCCEEDS(map_writable(l4));
    free_page(l4);
}

GUEST_TEST(pin_foreign_refused, "Frames that are not ours cannot be pinned or unpinned") {
    uint64_t frame = 0;
    abi::MachphysMfnList list{1, 0, {virtual_address(&frame)}, 0, 0};
    CHECK_SUCCEEDS(memory_op(abi::MemoryOp::kMachphysMfnList, list));
    abi::MmuextOp op{};
    op.arg1.mfn = frame;
    for (const Command command :
         {Command::kPinL1Table, Command::kPinL4Table, Command::kUnpinTable, Command::kNewBaseptr}) {
        op.cmd = static_cast<uint32_t>(command);
        CHECK(mmuext_op(&op, 1) < 0);
    }
    op.arg1.mfn = uint64_t{1} << 40;
    for (const Command command : {Command::kPinL1Table, Command::kUnpinTable, Command::kNewBaseptr}) {
        op.cmd = static_cast<uint32_t>(command);
        CHECK(mmuext_op(&op, 1) < 0);
    }
}
