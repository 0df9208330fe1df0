// Grant copies.

#include <torii/guest/grants.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

using namespace torii::guest;
namespace abi = torii::abi;
using abi::GrantStatus;

namespace {

constexpr unsigned kWords = 512;

abi::GrantCopyPointer frame_pointer(const Page* page, uint16_t offset) {
    abi::GrantCopyPointer pointer{};
    pointer.u.gmfn = mfn_of(page);
    pointer.domid = abi::kDomIdSelf;
    pointer.offset = offset;
    return pointer;
}

abi::GrantCopyPointer grant_pointer(abi::RawGrantRef ref, uint16_t offset) {
    abi::GrantCopyPointer pointer{};
    pointer.u.ref = ref;
    pointer.domid = abi::kDomIdSelf;
    pointer.offset = offset;
    return pointer;
}

int64_t copy(const abi::GrantCopyPointer& source, const abi::GrantCopyPointer& target, uint16_t length,
             uint16_t flags) {
    abi::GrantCopy op{source, target, length, flags, 1, 0};
    const int64_t result = grant_table_op(abi::GrantTableOp::kCopy, &op);
    return result != 0 ? result : op.status;
}

struct Pages {
    Page* from = allocate_page();
    Page* to = allocate_page();
    abi::RawGrantRef ref = allocate_grant_ref();

    explicit Pages(bool read_only) {
        for (unsigned index = 0; index < kWords; ++index) {
            from->words[index] = index + 1;
        }
        grant_access(ref, own_domain(), mfn_of(from), read_only);
    }
    ~Pages() {
        CHECK(end_access(ref));
        free_page(from);
        free_page(to);
    }
};

}  // namespace

GUEST_TEST(copy_from_grant, "Bytes are copied from a grant into a frame of ours") {
    if (!set_up_grants()) return;
    const Pages pages(true);
    CHECK_SUCCEEDS(
        copy(grant_pointer(pages.ref, 8), frame_pointer(pages.to, 16), 24, abi::kGrantCopySourceGref));
    CHECK_EQUAL(pages.to->words[1], 0u);
    CHECK_EQUAL(pages.to->words[2], 2u);
    CHECK_EQUAL(pages.to->words[4], 4u);
    CHECK_EQUAL(pages.to->words[5], 0u);
    CHECK_EQUAL(grant_entry(pages.ref).flags, abi::kGtfPermitAccess | abi::kGtfReadonly);
}

GUEST_TEST(copy_to_grant, "Bytes are copied into a grant, when it is writable") {
    if (!set_up_grants()) return;
    {
        const Pages pages(false);
        pages.to->words[0] = 0xABCD;
        CHECK_SUCCEEDS(
            copy(frame_pointer(pages.to, 0), grant_pointer(pages.ref, 0), 8, abi::kGrantCopyDestGref));
        CHECK_EQUAL(pages.from->words[0], 0xABCDu);
    }
    const Pages pages(true);
    CHECK_EQUAL(copy(frame_pointer(pages.to, 0), grant_pointer(pages.ref, 0), 8, abi::kGrantCopyDestGref),
                static_cast<int64_t>(GrantStatus::kGeneralError));
    CHECK_EQUAL(pages.from->words[0], 1u);
}

GUEST_TEST(copy_whole_page, "A whole page can be copied") {
    if (!set_up_grants()) return;
    const Pages pages(true);
    CHECK_SUCCEEDS(
        copy(grant_pointer(pages.ref, 0), frame_pointer(pages.to, 0), 4096, abi::kGrantCopySourceGref));
    CHECK_EQUAL(__builtin_memcmp(pages.from, pages.to, sizeof(Page)), 0);
}

GUEST_TEST(copy_refused, "Copies across a page's end, from missing grants and into page tables are refused") {
    if (!set_up_grants()) return;
    const Pages pages(true);
    const auto source = abi::kGrantCopySourceGref;
    CHECK_EQUAL(copy(grant_pointer(pages.ref, 4090), frame_pointer(pages.to, 0), 7, source),
                static_cast<int64_t>(GrantStatus::kBadCopyArg));
    CHECK_EQUAL(copy(grant_pointer(pages.ref, 0), frame_pointer(pages.to, 4000), 97, source),
                static_cast<int64_t>(GrantStatus::kBadCopyArg));
    CHECK_EQUAL(copy(grant_pointer(pages.ref, 0), frame_pointer(pages.to, 0), 4097, source),
                static_cast<int64_t>(GrantStatus::kBadCopyArg));
    CHECK_EQUAL(copy(grant_pointer(0x00FF'FFFF, 0), frame_pointer(pages.to, 0), 8, source),
                static_cast<int64_t>(GrantStatus::kBadGntref));
    CHECK(copy(grant_pointer(pages.ref, 0), frame_pointer(boot_l4(), 0), 8, source) < 0);
    CHECK_EQUAL(pages.to->words[0], 0u);
    CHECK_EQUAL(grant_entry(pages.ref).flags, abi::kGtfPermitAccess | abi::kGtfReadonly);
}

GUEST_TEST(copy_between_own, "Between two frames of ours no grant is needed") {
    const Page* source = allocate_page();
    Page* target = allocate_page();
    const_cast<Page*>(source)->words[9] = 0x1234;
    CHECK_SUCCEEDS(copy(frame_pointer(source, 72), frame_pointer(target, 0), 8, 0));
    CHECK_EQUAL(target->words[0], 0x1234u);
    free_page(const_cast<Page*>(source));
    free_page(target);
}
