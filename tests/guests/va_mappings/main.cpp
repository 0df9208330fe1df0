// update_va_mapping.

#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

GUEST_TEST(va_mapping_flushes, "Every way of flushing shows the new page") {
    Page* window = allocate_page();
    Page* first = allocate_page();
    Page* second = allocate_page();
    first->words[0] = 1;
    second->words[0] = 2;
    uint64_t all_vcpus = ~uint64_t{0};
    const uint64_t flags[] = {
        abi::kUvmfInvlpg | abi::kUvmfLocal,
        abi::kUvmfTlbFlush | abi::kUvmfLocal,
        abi::kUvmfInvlpg | abi::kUvmfAll,
        abi::kUvmfTlbFlush | abi::kUvmfAll,
        abi::kUvmfInvlpg | abi::kUvmfMulti | virtual_address(&all_vcpus),
        abi::kUvmfTlbFlush | abi::kUvmfMulti | virtual_address(&all_vcpus),
    };
    for (const uint64_t flag : flags) {
        CHECK_SUCCEEDS(update_va_mapping(virtual_address(window), make_entry(mfn_of(first), kPtePage), flag));
        CHECK_EQUAL(const_cast<volatile Page*>(window)->words[0], 1u);
        CHECK_SUCCEEDS(
            update_va_mapping(virtual_address(window), make_entry(mfn_of(second), kPtePage), flag));
        CHECK_EQUAL(const_cast<volatile Page*>(window)->words[0], 2u);
    }
    CHECK_SUCCEEDS(map_writable(window));
    for (Page* page : {window, first, second}) {
        free_page(page);
    }
}

GUEST_TEST(va_mapping_none, "Without a flush the entry changes all the same") {
    Page* page = allocate_page();
    CHECK_SUCCEEDS(update_va_mapping(virtual_address(page), 0, abi::kUvmfNone));
    CHECK_EQUAL(*table_entry(virtual_address(page), 1), 0u);
    CHECK_SUCCEEDS(map_writable(page));
    free_page(page);
}

GUEST_TEST(va_mapping_refused,
           "Addresses without an L1 table, the hypervisor's and non-canonical ones are refused") {
    Page* page = allocate_page();
    const uint64_t entry = make_entry(mfn_of(page), kPtePage);
    for (const uint64_t address : {uint64_t{0x4000'0000'0000}, abi::kHypervisorVirtStart,
                                   abi::kHypervisorVirtEnd - 0x1000, uint64_t{0x8000'0000'0000'0000}}) {
        CHECK_FAILS(update_va_mapping(address, entry), kEINVAL);
    }
    free_page(page);
}

GUEST_TEST(va_mapping_bad_entry, "An entry that is refused leaves the old one") {
    Page* page = allocate_page();
    const uint64_t before = *table_entry(virtual_address(page), 1);
    CHECK_FAILS(update_va_mapping(virtual_address(page), make_entry(mfn_of(boot_l4()), kPtePage)), kEBUSY);
    CHECK_EQUAL(*table_entry(virtual_address(page), 1), before);
    page->words[0] = 1;
    free_page(page);
}

GUEST_TEST(va_mapping_otherdomain,
           "The form with a domain takes ourselves by name and refuses nobody's frames") {
    Page* page = allocate_page();
    const uint64_t entry = make_entry(mfn_of(page), kPtePage);
    CHECK_SUCCEEDS(hypercall(abi::Hypercall::kUpdateVaMappingOtherdomain, page, entry, abi::kUvmfInvlpg,
                             abi::kDomIdSelf));
    CHECK_FAILS(hypercall(abi::Hypercall::kUpdateVaMappingOtherdomain, page, entry, abi::kUvmfInvlpg, 0x7000),
                kESRCH);
    free_page(page);
}
