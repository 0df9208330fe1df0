// Changing the top-level tables.

#include <torii/guest/cpu.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

using Command = abi::MmuextOpCommand;

int64_t table_op(Command command, uint64_t mfn) {
    abi::MmuextOp op{};
    op.cmd = static_cast<uint32_t>(command);
    op.arg1.mfn = mfn;
    return mmuext_op(&op, 1);
}

// A second top-level table with the guest's part of the first.
Page* copy_of_l4() {
    Page* copy = allocate_page();
    for (unsigned slot = 0; slot < 512; ++slot) {
        const bool reserved = slot >= abi::kHypervisorFirstL4Slot && slot <= abi::kHypervisorLastL4Slot;
        copy->words[slot] = reserved ? 0 : boot_l4()->words[slot];
    }
    CHECK_SUCCEEDS(map_read_only(copy));
    return copy;
}

}  // namespace

GUEST_TEST(base_pointer_switch, "A copy of the L4 can be pinned, run on, and left again") {
    Page* copy = copy_of_l4();
    CHECK_SUCCEEDS(table_op(Command::kPinL4Table, mfn_of(copy)));
    CHECK_SUCCEEDS(table_op(Command::kNewBaseptr, mfn_of(copy)));
    CHECK_EQUAL(abi::mfn_from_cr3(read_cr3()), mfn_of(copy));
    CHECK(xen_version<void>(abi::VersionOp::kVersion, nullptr) > 0);
    CHECK((copy->words[abi::kHypervisorFirstL4Slot] & kPtePresent) != 0);
    CHECK_SUCCEEDS(table_op(Command::kNewBaseptr, mfn_of(boot_l4())));
    CHECK_SUCCEEDS(table_op(Command::kUnpinTable, mfn_of(copy)));
    CHECK_SUCCEEDS(map_writable(copy));
    free_page(copy);
}

GUEST_TEST(base_pointer_unpinned, "Running on an unpinned L4 keeps it a page table while it is in use") {
    Page* copy = copy_of_l4();
    CHECK_SUCCEEDS(table_op(Command::kNewBaseptr, mfn_of(copy)));
    CHECK_FAILS(map_writable(copy), kEBUSY);
    CHECK_SUCCEEDS(table_op(Command::kNewBaseptr, mfn_of(boot_l4())));
    CHECK_SUCCEEDS(map_writable(copy));
    free_page(copy);
}

GUEST_TEST(base_pointer_refused,
           "Writable pages and tables of other levels are refused; we stay where we are") {
    Page* page = allocate_page();
    CHECK(table_op(Command::kNewBaseptr, mfn_of(page)) < 0);
    CHECK_SUCCEEDS(map_read_only(page));
    CHECK_SUCCEEDS(table_op(Command::kPinL3Table, mfn_of(page)));
    CHECK(table_op(Command::kNewBaseptr, mfn_of(page)) < 0);
    CHECK(table_op(Command::kNewUserBaseptr, mfn_of(page)) < 0);
    CHECK_SUCCEEDS(table_op(Command::kUnpinTable, mfn_of(page)));
    CHECK_EQUAL(abi::mfn_from_cr3(read_cr3()), mfn_of(boot_l4()));
    CHECK_SUCCEEDS(map_writable(page));
    free_page(page);
}

GUEST_TEST(user_base_pointer, "User mode can have a table of its own, or none") {
    Page* copy = copy_of_l4();
    CHECK_SUCCEEDS(table_op(Command::kNewUserBaseptr, mfn_of(copy)));
    CHECK_FAILS(map_writable(copy), kEBUSY);
    CHECK_SUCCEEDS(table_op(Command::kNewUserBaseptr, 0));
    CHECK_SUCCEEDS(map_writable(copy));
    free_page(copy);
    // As the kit's user-mode tests need it.
    CHECK_SUCCEEDS(table_op(Command::kNewUserBaseptr, mfn_of(boot_l4())));
}
