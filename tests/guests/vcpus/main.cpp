// vcpu_op.

#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

constexpr uint64_t kMillisecond = 1'000'000;

void sleep_until_poll_ends(uint64_t nanoseconds) {
    abi::SchedPoll poll{};
    poll.timeout = system_time() + nanoseconds;
    sched_op(abi::SchedOp::kPoll, poll);
}

}  // namespace

GUEST_TEST(vcpu_is_up, "vCPU 0 is up; one that was never made is not there") {
    CHECK_EQUAL(vcpu_op(abi::VcpuOp::kIsUp, 0), 1);
    CHECK_FAILS(vcpu_op(abi::VcpuOp::kIsUp, 77), kENOENT);
    CHECK_FAILS(vcpu_op(abi::VcpuOp::kIsUp, 0xFFFF'FFFF), kENOENT);
    CHECK_FAILS(vcpu_op(abi::VcpuOp::kUp, 77), kENOENT);
}

GUEST_TEST(vcpu_runstate, "The runstate's times add up and sleeping counts as blocked") {
    const auto blocked = static_cast<size_t>(abi::RunState::kBlocked);
    abi::VcpuRunstateInfo before{};
    abi::VcpuRunstateInfo after{};
    // A busy machine may be late to begin the sleep, whose end is fixed: one of several must be as long as it
    // was meant.
    for (int attempt = 0; attempt < 10; ++attempt) {
        CHECK_SUCCEEDS(vcpu_op(abi::VcpuOp::kGetRunstateInfo, 0, before));
        CHECK_EQUAL(before.state, static_cast<int32_t>(abi::RunState::kRunning));
        sleep_until_poll_ends(30 * kMillisecond);
        CHECK_SUCCEEDS(vcpu_op(abi::VcpuOp::kGetRunstateInfo, 0, after));
        CHECK(after.state_entry_time >= before.state_entry_time);
        CHECK(after.time[0] >= before.time[0]);
        if (after.time[blocked] >= before.time[blocked] + 25 * kMillisecond) break;
    }
    CHECK(after.time[blocked] >= before.time[blocked] + 25 * kMillisecond);
}

GUEST_TEST(vcpu_runstate_area, "A registered area is kept up to date") {
    static abi::VcpuRunstateInfo area;
    area = {};
    area.state = 99;
    abi::VcpuRegisterRunstateMemoryArea registration{{virtual_address(&area)}};
    CHECK_SUCCEEDS(vcpu_op(abi::VcpuOp::kRegisterRunstateMemoryArea, 0, registration));
    CHECK_EQUAL(area.state, static_cast<int32_t>(abi::RunState::kRunning));
    const volatile uint64_t& blocked = area.time[static_cast<size_t>(abi::RunState::kBlocked)];
    const uint64_t before = blocked;
    // As above: one of several sleeps is not over before it begins.
    for (int attempt = 0; attempt < 10 && blocked == before; ++attempt)
        sleep_until_poll_ends(20 * kMillisecond);
    CHECK(blocked > before);
    CHECK_EQUAL(area.state_entry_time & abi::kRunstateUpdate, 0u);
}

GUEST_TEST(vcpu_runstate_area_gone, "An area that is no longer mapped does no harm") {
    Page* page = allocate_page();
    abi::VcpuRegisterRunstateMemoryArea registration{{virtual_address(page)}};
    CHECK_SUCCEEDS(vcpu_op(abi::VcpuOp::kRegisterRunstateMemoryArea, 0, registration));
    CHECK_SUCCEEDS(update_va_mapping(virtual_address(page), 0));
    sleep_until_poll_ends(5 * kMillisecond);
    CHECK_SUCCEEDS(map_writable(page));
    static abi::VcpuRunstateInfo area;
    registration.address.address = virtual_address(&area);
    CHECK_SUCCEEDS(vcpu_op(abi::VcpuOp::kRegisterRunstateMemoryArea, 0, registration));
    free_page(page);
}

GUEST_TEST(vcpu_area_refused, "Areas of no vCPU are refused") {
    abi::VcpuRegisterRunstateMemoryArea registration{{virtual_address(boot_l4())}};
    CHECK_FAILS(vcpu_op(abi::VcpuOp::kRegisterRunstateMemoryArea, 77, registration), kENOENT);
}

GUEST_TEST(vcpu_time_area, "A registered time area shows the same clock") {
    static abi::VcpuTimeInfo area;
    area = {};
    abi::VcpuRegisterTimeMemoryArea registration{{virtual_address(&area)}};
    CHECK_SUCCEEDS(vcpu_op(abi::VcpuOp::kRegisterVcpuTimeMemoryArea, 0, registration));
    CHECK_EQUAL(area.tsc_to_system_mul, vcpu_info().time.tsc_to_system_mul);
    CHECK_EQUAL(area.version & 1, 0u);
}

GUEST_TEST(vcpu_initialise_refused,
           "A vCPU that runs already cannot be initialised, one that is missing neither") {
    static abi::VcpuGuestContext context;
    context = {};
    const int64_t result = vcpu_op(abi::VcpuOp::kInitialise, 0, context);
    CHECK(result < 0);
    CHECK_FAILS(vcpu_op(abi::VcpuOp::kInitialise, 77, context), kENOENT);
}

GUEST_TEST(vcpu_info_refused,
           "vcpu_info across a page's end, in a frame that is not ours or for another vCPU is refused") {
    Page* page = allocate_page();
    abi::VcpuRegisterVcpuInfo registration{mfn_of(page), 4096 - 8, 0};
    CHECK_FAILS(vcpu_op(abi::VcpuOp::kRegisterVcpuInfo, 0, registration), kENXIO);
    registration = {uint64_t{1} << 40, 0, 0};
    CHECK(vcpu_op(abi::VcpuOp::kRegisterVcpuInfo, 0, registration) < 0);
    registration = {mfn_of(page), 0, 0};
    CHECK_FAILS(vcpu_op(abi::VcpuOp::kRegisterVcpuInfo, 77, registration), kENOENT);
    CHECK_EQUAL(page->words[0], 0u);
    free_page(page);
}

GUEST_TEST(vcpu_unknown, "Unknown sub-operations are refused") {
    uint64_t words[4] = {};
    CHECK_FAILS(hypercall(abi::Hypercall::kVcpuOp, 14, 0, words), kENOSYS);
    CHECK_FAILS(hypercall(abi::Hypercall::kVcpuOp, 1000, 0, words), kENOSYS);
}
