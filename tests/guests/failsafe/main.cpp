// Selectors that went bad behind the guest's back: the failsafe callback.

#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

constexpr uint64_t kFlatData = 0x00CF'F300'0000'FFFF;
constexpr uint16_t kSelector = 3 * 8 + 3;

}  // namespace

GUEST_TEST(
    failsafe_or_null,
    "A data selector whose descriptor is taken away is nulled or reported by the callback; no domain dies") {
    Page* page = allocate_page();
    page->words[3] = kFlatData;
    CHECK_SUCCEEDS(map_read_only(page));
    const uint64_t frame = mfn_of(page);
    CHECK_SUCCEEDS(hypercall(abi::Hypercall::kSetGdt, &frame, 512));
    const Caught caught = catch_trap([&] {
        asm volatile("mov %0, %%fs" : : "r"(kSelector));
        hypercall(abi::Hypercall::kSetGdt, nullptr, 0);
        // A sleep lets the hypervisor switch away and back, which loads the selector again.
        abi::SchedPoll poll{};
        poll.timeout = system_time() + 10'000'000;
        sched_op(abi::SchedOp::kPoll, poll);
    });
    if (caught.happened) CHECK(caught.is(kVectorFailsafe));
    asm volatile("mov %0, %%fs" : : "r"(uint16_t{0}));
    CHECK_SUCCEEDS(hypercall(abi::Hypercall::kSetGdt, nullptr, 0));
    CHECK_SUCCEEDS(map_writable(page));
    free_page(page);
}
