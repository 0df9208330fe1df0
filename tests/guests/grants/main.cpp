// The grant table: set-up, sizes, mapping our own grants, and refusals.

#include <torii/guest/grants.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;
using abi::GrantStatus;

namespace {

// An address at which nothing is mapped: a grant that replaces a present entry would leave the old
// translation cached.
Page* allocate_window() {
    Page* window = allocate_page();
    CHECK_SUCCEEDS(update_va_mapping(virtual_address(window), 0));
    return window;
}

int64_t status(GrantStatus value) {
    return static_cast<int64_t>(value);
}

}  // namespace

GUEST_TEST(grant_query, "The table has a size and a limit") {
    abi::GrantQuerySize query{};
    query.dom = abi::kDomIdSelf;
    CHECK_SUCCEEDS(grant_table_op(abi::GrantTableOp::kQuerySize, &query));
    CHECK_EQUAL(query.status, status(GrantStatus::kOkay));
    CHECK(query.nr_frames >= 1 && query.nr_frames <= query.max_nr_frames);
    query.dom = 0x7000;
    CHECK_SUCCEEDS(grant_table_op(abi::GrantTableOp::kQuerySize, &query));
    CHECK_EQUAL(query.status, status(GrantStatus::kBadDomain));
}

GUEST_TEST(grant_setup_refused, "More frames than the limit are refused") {
    static uint64_t frames[256];
    abi::GrantQuerySize query{};
    query.dom = abi::kDomIdSelf;
    CHECK_SUCCEEDS(grant_table_op(abi::GrantTableOp::kQuerySize, &query));
    abi::GrantSetupTable setup{};
    setup.dom = abi::kDomIdSelf;
    setup.nr_frames = query.max_nr_frames + 1;
    setup.frame_list.address = virtual_address(frames);
    const int64_t result = grant_table_op(abi::GrantTableOp::kSetupTable, &setup);
    CHECK(result < 0 || setup.status < 0);
    setup.nr_frames = 1;
    setup.dom = 0x7000;
    CHECK_SUCCEEDS(grant_table_op(abi::GrantTableOp::kSetupTable, &setup));
    CHECK_EQUAL(setup.status, status(GrantStatus::kBadDomain));
}

GUEST_TEST(grant_version, "Version 1 is in force") {
    abi::GrantGetVersion version{};
    version.dom = abi::kDomIdSelf;
    CHECK_SUCCEEDS(grant_table_op(abi::GrantTableOp::kGetVersion, &version));
    CHECK_EQUAL(version.version, 1u);
    abi::GrantSetVersion wanted{3};
    CHECK(grant_table_op(abi::GrantTableOp::kSetVersion, &wanted) < 0);
}

GUEST_TEST(grant_map_own, "A grant to ourselves is mapped writable, marks its entry, and is unmapped") {
    if (!set_up_grants()) return;
    Page* page = allocate_page();
    Page* window = allocate_window();
    const abi::RawDomId self = own_domain();
    const abi::RawGrantRef ref = allocate_grant_ref();
    page->words[0] = 0x77;
    grant_access(ref, self, mfn_of(page), false);
    const abi::GrantMap map = map_grant(self, ref, window, abi::kGrantMapHost);
    if (!CHECK_EQUAL(map.status, status(GrantStatus::kOkay))) return;
    CHECK_EQUAL(const_cast<volatile Page*>(window)->words[0], 0x77u);
    const_cast<volatile Page*>(window)->words[1] = 0x88;
    CHECK_EQUAL(page->words[1], 0x88u);
    CHECK_EQUAL(grant_entry(ref).flags, abi::kGtfPermitAccess | abi::kGtfReading | abi::kGtfWriting);
    CHECK(!end_access(ref));
    CHECK_EQUAL(static_cast<int64_t>(unmap_grant(map)), status(GrantStatus::kOkay));
    CHECK_EQUAL(grant_entry(ref).flags, abi::kGtfPermitAccess);
    CHECK(catch_trap([&] { const_cast<volatile Page*>(window)->words[0] = 1; }).is(kVectorPageFault));
    CHECK(static_cast<int64_t>(unmap_grant(map)) < 0);
    CHECK(end_access(ref));
    CHECK_SUCCEEDS(map_writable(window));
    free_page(window);
    free_page(page);
}

GUEST_TEST(grant_map_read_only, "A read-only grant is mapped read-only or not at all") {
    if (!set_up_grants()) return;
    Page* page = allocate_page();
    Page* window = allocate_window();
    const abi::RawDomId self = own_domain();
    const abi::RawGrantRef ref = allocate_grant_ref();
    grant_access(ref, self, mfn_of(page), true);
    abi::GrantMap map = map_grant(self, ref, window, abi::kGrantMapHost);
    CHECK_EQUAL(map.status, status(GrantStatus::kGeneralError));
    CHECK_EQUAL(grant_entry(ref).flags, abi::kGtfPermitAccess | abi::kGtfReadonly);
    map = map_grant(self, ref, window, abi::kGrantMapHost | abi::kGrantMapReadonly);
    if (!CHECK_EQUAL(map.status, status(GrantStatus::kOkay))) return;
    CHECK(catch_trap([&] { const_cast<volatile Page*>(window)->words[0] = 1; }).is(kVectorPageFault));
    CHECK_EQUAL(grant_entry(ref).flags, abi::kGtfPermitAccess | abi::kGtfReadonly | abi::kGtfReading);
    CHECK_EQUAL(static_cast<int64_t>(unmap_grant(map)), status(GrantStatus::kOkay));
    CHECK(end_access(ref));
    CHECK_SUCCEEDS(map_writable(window));
    free_page(window);
    free_page(page);
}

GUEST_TEST(grant_map_by_entry, "A grant can be mapped by the machine address of an L1 entry") {
    if (!set_up_grants()) return;
    Page* page = allocate_page();
    Page* window = allocate_window();
    const abi::RawDomId self = own_domain();
    const abi::RawGrantRef ref = allocate_grant_ref();
    page->words[0] = 0x99;
    grant_access(ref, self, mfn_of(page), false);
    abi::GrantMap map{};
    map.host_addr = machine_address_of_entry(virtual_address(window), 1);
    map.flags = abi::kGrantMapHost | abi::kGrantMapContainsPte;
    map.ref = ref;
    map.dom = self;
    CHECK_SUCCEEDS(grant_table_op(abi::GrantTableOp::kMapGrantRef, &map));
    if (!CHECK_EQUAL(map.status, status(GrantStatus::kOkay))) return;
    abi::MmuextOp flush{};
    flush.cmd = static_cast<uint32_t>(abi::MmuextOpCommand::kTlbFlushLocal);
    CHECK_SUCCEEDS(mmuext_op(&flush, 1));
    CHECK_EQUAL(const_cast<volatile Page*>(window)->words[0], 0x99u);
    CHECK_EQUAL(static_cast<int64_t>(unmap_grant(map)), status(GrantStatus::kOkay));
    CHECK_EQUAL(*table_entry(virtual_address(window), 1) & kPtePresent, 0u);
    CHECK(end_access(ref));
    CHECK_SUCCEEDS(map_writable(window));
    free_page(window);
    free_page(page);
}

GUEST_TEST(grant_map_refused,
           "Grants that are not there, not for us, or to be put where nothing can be are refused") {
    if (!set_up_grants()) return;
    Page* page = allocate_page();
    Page* window = allocate_page();
    window->words[0] = 0x4711;
    const abi::RawDomId self = own_domain();
    const abi::RawGrantRef ref = allocate_grant_ref();
    CHECK_EQUAL(map_grant(self, ref, window, abi::kGrantMapHost).status, status(GrantStatus::kGeneralError));
    CHECK_EQUAL(map_grant(self, 0x00FF'FFFF, window, abi::kGrantMapHost).status,
                status(GrantStatus::kBadGntref));
    CHECK_EQUAL(map_grant(0x7000, ref, window, abi::kGrantMapHost).status, status(GrantStatus::kBadDomain));
    grant_access(ref, 0x6FFF, mfn_of(page), false);
    CHECK_EQUAL(map_grant(self, ref, window, abi::kGrantMapHost).status, status(GrantStatus::kGeneralError));
    grant_access(ref, self, mfn_of(page), false);
    CHECK(map_grant(self, ref, reinterpret_cast<void*>(0x4000'0000'0000), abi::kGrantMapHost).status < 0);
    CHECK(map_grant(self, ref, window, 0).status < 0);
    CHECK_EQUAL(grant_entry(ref).flags, abi::kGtfPermitAccess);
    CHECK_EQUAL(const_cast<volatile Page*>(window)->words[0], 0x4711u);
    // A page table cannot be granted writable.
    grant_access(ref, self, mfn_of(boot_l4()), false);
    CHECK(map_grant(self, ref, window, abi::kGrantMapHost).status < 0);
    CHECK(end_access(ref));
    free_page(window);
    free_page(page);
}

GUEST_TEST(grant_unmap_refused,
           "Unmapping with a wrong handle or a wrong address is refused and leaves the mapping") {
    if (!set_up_grants()) return;
    Page* page = allocate_page();
    Page* window = allocate_window();
    const abi::RawDomId self = own_domain();
    const abi::RawGrantRef ref = allocate_grant_ref();
    grant_access(ref, self, mfn_of(page), false);
    const abi::GrantMap map = map_grant(self, ref, window, abi::kGrantMapHost);
    if (!CHECK_EQUAL(map.status, status(GrantStatus::kOkay))) return;
    abi::GrantMap wrong = map;
    wrong.handle = 0xFFFF'0000;
    CHECK_EQUAL(static_cast<int64_t>(unmap_grant(wrong)), status(GrantStatus::kBadHandle));
    wrong = map;
    // Where another frame is mapped.
    Page* other = allocate_page();
    wrong.host_addr = virtual_address(other);
    CHECK(static_cast<int64_t>(unmap_grant(wrong)) < 0);
    other->words[0] = 1;
    free_page(other);
    const_cast<volatile Page*>(window)->words[0] = 1;
    CHECK_EQUAL(page->words[0], 1u);
    CHECK_EQUAL(static_cast<int64_t>(unmap_grant(map)), status(GrantStatus::kOkay));
    CHECK(end_access(ref));
    CHECK_SUCCEEDS(map_writable(window));
    free_page(window);
    free_page(page);
}

GUEST_TEST(grant_unmap_and_replace, "A mapping can be exchanged for the page at another address") {
    if (!set_up_grants()) return;
    Page* page = allocate_page();
    Page* window = allocate_window();
    Page* spare = allocate_page();
    spare->words[0] = 0x55;
    const uint64_t spare_mfn = mfn_of(spare);
    const abi::RawDomId self = own_domain();
    const abi::RawGrantRef ref = allocate_grant_ref();
    grant_access(ref, self, mfn_of(page), false);
    const abi::GrantMap map = map_grant(self, ref, window, abi::kGrantMapHost);
    if (!CHECK_EQUAL(map.status, status(GrantStatus::kOkay))) return;
    abi::GrantUnmapAndReplace replace{};
    replace.host_addr = map.host_addr;
    replace.new_addr = virtual_address(spare);
    replace.handle = map.handle;
    CHECK_SUCCEEDS(grant_table_op(abi::GrantTableOp::kUnmapAndReplace, &replace));
    if (CHECK_EQUAL(replace.status, status(GrantStatus::kOkay))) {
        CHECK_EQUAL(const_cast<volatile Page*>(window)->words[0], 0x55u);
        CHECK_EQUAL(*table_entry(virtual_address(spare), 1) & kPtePresent, 0u);
    }
    CHECK(end_access(ref));
    CHECK_SUCCEEDS(update_va_mapping(virtual_address(spare), make_entry(spare_mfn, kPtePage)));
    CHECK_SUCCEEDS(map_writable(window));
    for (Page* each : {page, window, spare}) {
        free_page(each);
    }
}

GUEST_TEST(grant_batch, "A batch answers element by element") {
    if (!set_up_grants()) return;
    Page* page = allocate_page();
    Page* window = allocate_window();
    const abi::RawDomId self = own_domain();
    const abi::RawGrantRef ref = allocate_grant_ref();
    grant_access(ref, self, mfn_of(page), false);
    abi::GrantMap maps[3] = {};
    for (abi::GrantMap& map : maps) {
        map = {virtual_address(window), abi::kGrantMapHost, 0x00FF'FFFF, self, 1, 0, 0};
    }
    maps[1].ref = ref;
    CHECK_SUCCEEDS(grant_table_op(abi::GrantTableOp::kMapGrantRef, maps, 3));
    CHECK_EQUAL(maps[0].status, status(GrantStatus::kBadGntref));
    CHECK_EQUAL(maps[1].status, status(GrantStatus::kOkay));
    CHECK_EQUAL(maps[2].status, status(GrantStatus::kBadGntref));
    CHECK_EQUAL(static_cast<int64_t>(unmap_grant(maps[1])), status(GrantStatus::kOkay));
    CHECK(end_access(ref));
    CHECK_SUCCEEDS(map_writable(window));
    free_page(window);
    free_page(page);
}

GUEST_TEST(grant_unknown, "Unknown operations and unreadable lists are refused") {
    uint64_t words[8] = {};
    CHECK_FAILS(hypercall(abi::Hypercall::kGrantTableOp, 99, words, 1), kENOSYS);
    CHECK_FAILS(hypercall(abi::Hypercall::kGrantTableOp, abi::GrantTableOp::kMapGrantRef, kNeverMapped, 1),
                kEFAULT);
}
