// Which bits an L1 entry may carry.

#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

constexpr uint64_t kAvailableBits = 0xE00;

int64_t try_entry(Page* page, uint64_t flags) {
    return update_va_mapping(virtual_address(page), make_entry(mfn_of(page), flags));
}

}  // namespace

GUEST_TEST(entry_flags_accepted, "Access, cache and software bits are taken and kept") {
    Page* page = allocate_page();
    for (const uint64_t extra : {uint64_t{0}, kPteNoExecute, kAvailableBits, kPteWriteThrough,
                                 kPteCacheDisable, kPteWriteThrough | kPteCacheDisable}) {
        CHECK_SUCCEEDS(try_entry(page, kPtePage | extra));
        const uint64_t entry = *table_entry(virtual_address(page), 1);
        CHECK_EQUAL(entry & extra, extra);
        page->words[0] = 1;
    }
    CHECK_SUCCEEDS(map_writable(page));
    free_page(page);
}

GUEST_TEST(entry_not_present, "A not-present entry may hold anything harmless") {
    Page* page = allocate_page();
    CHECK_SUCCEEDS(update_va_mapping(virtual_address(page), 0));
    CHECK_SUCCEEDS(
        update_va_mapping(virtual_address(page), make_entry(mfn_of(page), kPteWritable | kPteUser)));
    CHECK(catch_trap([&] { const_cast<volatile Page*>(page)->words[0] = 1; }).is(kVectorPageFault));
    CHECK_SUCCEEDS(map_writable(page));
    free_page(page);
}

GUEST_TEST(entry_beyond_memory, "A frame number beyond what the CPU can address is refused") {
    Page* page = allocate_page();
    const uint64_t before = *table_entry(virtual_address(page), 1);
    CHECK(update_va_mapping(virtual_address(page), (uint64_t{0xF} << 48) | kPtePage) < 0);
    CHECK_EQUAL(*table_entry(virtual_address(page), 1), before);
    free_page(page);
}

GUEST_TEST(entry_user_bit, "Kernel pages are reachable without the user bit of our own") {
    Page* page = allocate_page();
    CHECK_SUCCEEDS(try_entry(page, kPtePresent | kPteWritable | kPteAccessed | kPteDirty));
    CHECK(!catch_trap([&] { const_cast<volatile Page*>(page)->words[0] = 1; }).happened);
    CHECK_SUCCEEDS(map_writable(page));
    free_page(page);
}
