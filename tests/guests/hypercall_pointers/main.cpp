// Pointers that a guest may not have read or written on its behalf.

#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

// Unmapped, the hypervisor's, non-canonical, the end of the address space.
constexpr uint64_t kBadAddresses[] = {
    kNeverMapped,
    0x0000'7FFF'FFFF'F000,
    0x0000'8000'0000'0000,
    abi::kHypervisorVirtEnd - 0x1000,
    abi::kHypervisorVirtStart + 0x70'0000'0000,
    0xFFFF'FFFF'FFFF'FFF8,
};

}  // namespace

GUEST_TEST(pointer_write_refused, "Answers are not written to addresses that are not ours") {
    for (const uint64_t address : kBadAddresses) {
        CHECK_FAILS(hypercall(abi::Hypercall::kXenVersion, abi::VersionOp::kExtraversion, address), kEFAULT);
    }
}

GUEST_TEST(pointer_write_to_m2p, "The M2P can be read, not written through a call") {
    const uint64_t before = *reinterpret_cast<const uint64_t*>(abi::kMachineToPhysVirtStart +
                                                               8 * start_info().pt_base / 4096 % 64);
    CHECK_FAILS(
        hypercall(abi::Hypercall::kXenVersion, abi::VersionOp::kExtraversion, abi::kMachineToPhysVirtStart),
        kEFAULT);
    const uint64_t after = *reinterpret_cast<const uint64_t*>(abi::kMachineToPhysVirtStart +
                                                              8 * start_info().pt_base / 4096 % 64);
    CHECK_EQUAL(after, before);
}

GUEST_TEST(pointer_read_refused, "Arguments are not read from addresses that are not ours") {
    for (const uint64_t address : kBadAddresses) {
        CHECK_FAILS(hypercall(abi::Hypercall::kEventChannelOp, abi::EventChannelOp::kSend, address), kEFAULT);
        CHECK_FAILS(hypercall(abi::Hypercall::kMmuUpdate, address, 1, nullptr, abi::kDomIdSelf), kEFAULT);
        CHECK_FAILS(hypercall(abi::Hypercall::kConsoleIo, abi::ConsoleIoOp::kWrite, 8, address), kEFAULT);
    }
}

GUEST_TEST(pointer_to_read_only, "An answer is not written through a read-only mapping of ours") {
    Page* page = allocate_page();
    CHECK_SUCCEEDS(map_read_only(page));
    CHECK_FAILS(xen_version(abi::VersionOp::kExtraversion, page), kEFAULT);
    CHECK_EQUAL(page->words[0], 0u);
    CHECK_SUCCEEDS(map_writable(page));
    CHECK_SUCCEEDS(xen_version(abi::VersionOp::kExtraversion, page));
    free_page(page);
}

GUEST_TEST(pointer_straddles_unmapped, "A structure that ends beyond a mapped page is refused whole") {
    Page* first = allocate_page();
    const uint64_t end = virtual_address(first) + abi::kPageSize;
    const uint64_t* next = table_entry(end, 1);
    if (next == nullptr) return error("no page behind the page");
    const uint64_t saved = *next;
    CHECK_SUCCEEDS(update_va_mapping(end, 0));
    CHECK_FAILS(hypercall(abi::Hypercall::kXenVersion, abi::VersionOp::kCompileInfo, end - 8), kEFAULT);
    CHECK_FAILS(hypercall(abi::Hypercall::kMmuUpdate, end - 8, 1, nullptr, abi::kDomIdSelf), kEFAULT);
    CHECK_SUCCEEDS(update_va_mapping(end, saved));
    free_page(first);
}
