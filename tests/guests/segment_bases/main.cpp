// set_segment_base.

#include <torii/guest/cpu.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/report.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

uint64_t g_words[2] = {0x1122'3344'5566'7788, 0x99AA};

uint64_t read_fs() {
    uint64_t value;
    asm volatile("mov %%fs:0, %0" : "=r"(value));
    return value;
}
uint64_t read_gs() {
    uint64_t value;
    asm volatile("mov %%gs:8, %0" : "=r"(value));
    return value;
}

}  // namespace

GUEST_TEST(segment_base_fs, "FS base takes effect at once") {
    CHECK_SUCCEEDS(set_segment_base(abi::SegmentBase::kFs, reinterpret_cast<uint64_t>(g_words)));
    CHECK_EQUAL(read_fs(), g_words[0]);
    CHECK_SUCCEEDS(set_segment_base(abi::SegmentBase::kFs, 0));
}

GUEST_TEST(segment_base_gs, "The kernel's GS base is the one in force in kernel mode, the user's is not") {
    CHECK_SUCCEEDS(set_segment_base(abi::SegmentBase::kGsKernel, reinterpret_cast<uint64_t>(g_words)));
    CHECK_SUCCEEDS(set_segment_base(abi::SegmentBase::kGsUser, 0x1234'5000));
    CHECK_EQUAL(read_gs(), g_words[1]);
    CHECK_EQUAL(read_msr(kMsrGsBase), reinterpret_cast<uint64_t>(g_words));
    CHECK_EQUAL(read_msr(kMsrKernelGsBase), 0x1234'5000u);
    CHECK_SUCCEEDS(set_segment_base(abi::SegmentBase::kGsUser, 0));
    CHECK_SUCCEEDS(set_segment_base(abi::SegmentBase::kGsKernel, 0));
}

GUEST_TEST(segment_base_refused, "Non-canonical bases are refused and change nothing") {
    CHECK_SUCCEEDS(set_segment_base(abi::SegmentBase::kFs, reinterpret_cast<uint64_t>(g_words)));
    for (const abi::SegmentBase which :
         {abi::SegmentBase::kFs, abi::SegmentBase::kGsUser, abi::SegmentBase::kGsKernel}) {
        CHECK_FAILS(set_segment_base(which, 0x8000'0000'0000'0000), kEINVAL);
    }
    CHECK_EQUAL(read_fs(), g_words[0]);
    CHECK_FAILS(set_segment_base(static_cast<abi::SegmentBase>(4), 0), kEINVAL);
    CHECK_SUCCEEDS(set_segment_base(abi::SegmentBase::kFs, 0));
}

GUEST_TEST(segment_gs_selector, "The user GS selector: null and flat are taken, a bad one loads null") {
    CHECK_SUCCEEDS(set_segment_base(abi::SegmentBase::kGsUserSelector, 0));
    CHECK_SUCCEEDS(set_segment_base(abi::SegmentBase::kGsUserSelector, abi::kFlatRing3Ds32));
    set_segment_base(abi::SegmentBase::kGsUserSelector,
                     0x1FF8 | 3);  // nothing there: refused or null, no crash
    CHECK_SUCCEEDS(set_segment_base(abi::SegmentBase::kGsUserSelector, 0));
}
