// Writes to page tables that are mapped read-only: the hypervisor emulates the good ones.

#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

constexpr unsigned kSlot = 6;

// What may be added to an entry of ours: by the CPU, and by a hypervisor that marks user pages global for its
// own ends.
constexpr uint64_t kAddedBits = kPteAccessed | kPteDirty | kPteGlobal;

}  // namespace

GUEST_TEST(table_write_emulated, "A sound entry written straight into an L1 takes effect") {
    Page* page = allocate_page();
    page->words[0] = 0x55;
    ScratchMapping mapping = make_scratch_mapping(kSlot, 0);
    const uint64_t entry = make_entry(mfn_of(page), kPtePage);
    volatile uint64_t* slot = &mapping.l1->words[0];
    CHECK(!catch_trap([&] { *slot = entry; }).happened);
    CHECK_EQUAL(*slot & ~kAddedBits, entry & ~kAddedBits);
    CHECK_EQUAL(*reinterpret_cast<volatile uint64_t*>(mapping.address), 0x55u);
    CHECK(!catch_trap([&] { *slot = 0; }).happened);
    drop_scratch_mapping(mapping);
    free_page(page);
}

GUEST_TEST(table_exchange_emulated, "Compare-exchange on an entry is emulated with its flags") {
    Page* page = allocate_page();
    ScratchMapping mapping = make_scratch_mapping(kSlot, 0);
    uint64_t* slot = &mapping.l1->words[1];
    const uint64_t entry = make_entry(mfn_of(page), kPtePage);
    bool exchanged = false;
    uint64_t expected = 0;
    CHECK(!catch_trap([&] {
               exchanged = __atomic_compare_exchange_n(slot, &expected, entry, false, __ATOMIC_SEQ_CST,
                                                       __ATOMIC_SEQ_CST);
           }).happened);
    CHECK(exchanged);
    expected = 0x1234;
    CHECK(!catch_trap([&] {
               exchanged = __atomic_compare_exchange_n(slot, &expected, uint64_t{0}, false, __ATOMIC_SEQ_CST,
                                                       __ATOMIC_SEQ_CST);
           }).happened);
    CHECK(!exchanged);
    CHECK_EQUAL(expected & ~kAddedBits, entry & ~kAddedBits);
    CHECK(!catch_trap([&] { *const_cast<volatile uint64_t*>(slot) = 0; }).happened);
    drop_scratch_mapping(mapping);
    free_page(page);
}

GUEST_TEST(table_write_refused, "An unsound entry is the writer's page fault and changes nothing") {
    ScratchMapping mapping = make_scratch_mapping(kSlot, 0);
    volatile uint64_t* slot = &mapping.l1->words[2];
    const uint64_t entry = make_entry(mfn_of(boot_l4()), kPtePage);
    const Caught caught = catch_trap([&] { *slot = entry; });
    CHECK(caught.is(kVectorPageFault));
    CHECK_EQUAL(caught.context.error_code & 3, 3u);
    CHECK_EQUAL(*slot, 0u);
    drop_scratch_mapping(mapping);
}

GUEST_TEST(upper_table_write, "A write straight into an L2 or L4 faults") {
    ScratchMapping mapping = make_scratch_mapping(kSlot, 0);
    volatile uint64_t* l2_slot = &mapping.l2->words[7];
    CHECK(catch_trap([&] { *l2_slot = 0; }).is(kVectorPageFault));
    volatile uint64_t* l4_slot = &boot_l4()->words[9];
    CHECK(catch_trap([&] { *l4_slot = 0; }).is(kVectorPageFault));
    drop_scratch_mapping(mapping);
}

GUEST_TEST(table_partial_write,
           "A write of half an entry to an empty slot, or one that straddles two, does no harm") {
    ScratchMapping mapping = make_scratch_mapping(kSlot, 0);
    auto* bytes = reinterpret_cast<volatile uint8_t*>(&mapping.l1->words[4]);
    catch_trap([&] { *reinterpret_cast<volatile uint32_t*>(bytes + 4) = 0x7000'0000; });
    catch_trap([&] { *reinterpret_cast<volatile uint64_t*>(bytes + 4) = ~uint64_t{0}; });
    CHECK_EQUAL(mapping.l1->words[5] & kPtePresent, 0u);
    catch_trap([&] { *reinterpret_cast<volatile uint64_t*>(bytes) = 0; });
    drop_scratch_mapping(mapping);
}
