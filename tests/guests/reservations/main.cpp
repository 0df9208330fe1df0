// memory_op: giving memory back and taking it again.

#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

int64_t reservation(abi::MemoryOp op, uint64_t* extents, uint64_t count, uint32_t order = 0,
                    abi::RawDomId domain = abi::kDomIdSelf) {
    abi::MemoryReservation argument{};
    argument.extent_start.address = virtual_address(extents);
    argument.nr_extents = count;
    argument.extent_order = order;
    argument.domid = domain;
    return memory_op(op, argument);
}

int64_t current_pages() {
    abi::MemoryDomain domain{abi::kDomIdSelf};
    return memory_op(abi::MemoryOp::kCurrentReservation, domain);
}

}  // namespace

GUEST_TEST(reservation_numbers, "Current and maximum reservation, the highest frame") {
    const int64_t pages = current_pages();
    CHECK(pages >= static_cast<int64_t>(start_info().nr_pages));
    abi::MemoryDomain domain{abi::kDomIdSelf};
    CHECK(memory_op(abi::MemoryOp::kMaximumReservation, domain) >= pages);
    CHECK(hypercall(abi::Hypercall::kMemoryOp, abi::MemoryOp::kMaximumRamPage, nullptr) > 0);
    domain.domid = 0x7000;
    CHECK_FAILS(memory_op(abi::MemoryOp::kCurrentReservation, domain), kESRCH);
}

GUEST_TEST(reservation_balloon, "A page given back is gone; populating gives one again, with its M2P entry") {
    Page* page = allocate_page();
    const uint64_t pfn = pfn_of(page);
    uint64_t mfn = mfn_of(page);
    const int64_t before = current_pages();
    CHECK_SUCCEEDS(update_va_mapping(virtual_address(page), 0));
    CHECK_EQUAL(reservation(abi::MemoryOp::kDecreaseReservation, &mfn, 1), 1);
    CHECK_EQUAL(current_pages(), before - 1);
    uint64_t extent = pfn;
    CHECK_EQUAL(reservation(abi::MemoryOp::kPopulatePhysmap, &extent, 1), 1);
    CHECK_EQUAL(current_pages(), before);
    set_mfn_of_pfn(pfn, extent);
    CHECK_EQUAL(pfn_of_mfn(extent), pfn);
    CHECK_SUCCEEDS(map_writable(page));
    free_page(page);
}

GUEST_TEST(reservation_mapped,
           "A page given back while it is mapped stays readable through its mapping, and counted out") {
    Page* page = allocate_page();
    page->words[0] = 0x1234;
    const uint64_t pfn = pfn_of(page);
    uint64_t mfn = mfn_of(page);
    CHECK_EQUAL(reservation(abi::MemoryOp::kDecreaseReservation, &mfn, 1), 1);
    CHECK_EQUAL(const_cast<volatile Page*>(page)->words[0], 0x1234u);
    CHECK_SUCCEEDS(update_va_mapping(virtual_address(page), 0));
    CHECK(update_va_mapping(virtual_address(page), make_entry(mfn, kPtePage)) < 0);
    uint64_t extent = pfn;
    CHECK_EQUAL(reservation(abi::MemoryOp::kPopulatePhysmap, &extent, 1), 1);
    set_mfn_of_pfn(pfn, extent);
    CHECK_SUCCEEDS(map_writable(page));
    free_page(page);
}

GUEST_TEST(reservation_refused,
           "Frames that are not ours are not given back; too high orders and unknown domains are refused") {
    const int64_t before = current_pages();
    uint64_t frame = uint64_t{1} << 40;
    CHECK_EQUAL(reservation(abi::MemoryOp::kDecreaseReservation, &frame, 1), 0);
    frame = mfn_of(boot_l4());
    uint64_t extent = 0;
    const int64_t huge = reservation(abi::MemoryOp::kPopulatePhysmap, &extent, 1, 30);
    CHECK(huge <= 0);
    // These calls answer with the number of extents done.
    CHECK_EQUAL(reservation(abi::MemoryOp::kPopulatePhysmap, &extent, 1, 0, 0x7000), 0);
    CHECK_EQUAL(current_pages(), before);
}

GUEST_TEST(reservation_over_limit, "Above the maximum nothing is populated") {
    abi::MemoryDomain domain{abi::kDomIdSelf};
    const int64_t maximum = memory_op(abi::MemoryOp::kMaximumReservation, domain);
    if (maximum > current_pages() + 100'000) return skip("no limit to speak of");
    const int64_t room = maximum - current_pages();
    static uint64_t extents[64];
    if (room >= 64) return skip("too far from the limit: {} pages", room);
    for (uint64_t index = 0; index < 64; ++index) {
        extents[index] = start_info().nr_pages + index;
    }
    const int64_t got = reservation(abi::MemoryOp::kIncreaseReservation, extents, 64);
    CHECK_EQUAL(got, room);
    if (got > 0)
        CHECK_EQUAL(reservation(abi::MemoryOp::kDecreaseReservation, extents, static_cast<uint64_t>(got)),
                    got);
}

GUEST_TEST(memory_exchange, "A page is exchanged for another one in one step") {
    Page* page = allocate_page();
    const uint64_t pfn = pfn_of(page);
    uint64_t in = mfn_of(page);
    uint64_t out = pfn;
    const int64_t before = current_pages();
    CHECK_SUCCEEDS(update_va_mapping(virtual_address(page), 0));
    abi::MemoryExchange exchange{};
    exchange.in.extent_start.address = virtual_address(&in);
    exchange.in.nr_extents = 1;
    exchange.in.domid = abi::kDomIdSelf;
    exchange.out = exchange.in;
    exchange.out.extent_start.address = virtual_address(&out);
    CHECK_SUCCEEDS(memory_op(abi::MemoryOp::kExchange, exchange));
    CHECK_EQUAL(exchange.nr_exchanged, 1u);
    CHECK_EQUAL(current_pages(), before);
    set_mfn_of_pfn(pfn, out);
    CHECK_EQUAL(pfn_of_mfn(out), pfn);
    CHECK_SUCCEEDS(map_writable(page));
    page->words[0] = 1;
    free_page(page);
}

GUEST_TEST(memory_exchange_refused, "An exchange of unequal sizes, or of what is not ours, is refused") {
    uint64_t frames[2] = {uint64_t{1} << 40, 0};
    uint64_t out = 0;
    abi::MemoryExchange exchange{};
    exchange.in.extent_start.address = virtual_address(frames);
    exchange.in.nr_extents = 2;
    exchange.in.domid = abi::kDomIdSelf;
    exchange.out = exchange.in;
    exchange.out.extent_start.address = virtual_address(&out);
    exchange.out.nr_extents = 1;
    CHECK_FAILS(memory_op(abi::MemoryOp::kExchange, exchange), kEINVAL);
    exchange.in.nr_extents = 1;
    const int64_t before = current_pages();
    CHECK(memory_op(abi::MemoryOp::kExchange, exchange) < 0);
    CHECK_EQUAL(exchange.nr_exchanged, 0u);
    CHECK_EQUAL(current_pages(), before);
}

GUEST_TEST(memory_unknown, "Unknown sub-operations are refused") {
    uint64_t words[8] = {};
    CHECK_FAILS(hypercall(abi::Hypercall::kMemoryOp, 8, words), kENOSYS);
    CHECK_FAILS(hypercall(abi::Hypercall::kMemoryOp, 60, words), kENOSYS);
}
