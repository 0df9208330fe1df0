// Floating-point and vector registers, which the hypervisor keeps for the guest.

#include <torii/guest/cpu.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

void set_xmm(uint64_t value) {
    asm volatile("movq %0, %%xmm3" : : "r"(value));
}
uint64_t get_xmm() {
    uint64_t value;
    asm volatile("movq %%xmm3, %0" : "=r"(value));
    return value;
}

void sleep_a_while() {
    abi::SchedPoll poll{};
    poll.timeout = system_time() + 10'000'000;
    sched_op(abi::SchedOp::kPoll, poll);
}

}  // namespace

GUEST_TEST(vector_registers_kept, "Vector registers survive calls, sleep and traps") {
    set_xmm(0x1122'3344'5566'7788);
    xen_version<void>(abi::VersionOp::kVersion, nullptr);
    CHECK_EQUAL(get_xmm(), 0x1122'3344'5566'7788u);
    sleep_a_while();
    CHECK_EQUAL(get_xmm(), 0x1122'3344'5566'7788u);
    catch_trap([] { asm volatile("ud2"); });
    CHECK_EQUAL(get_xmm(), 0x1122'3344'5566'7788u);
}

GUEST_TEST(vector_control_words, "Control words are the architecture's at the start, and kept") {
    uint16_t control = 0;
    uint32_t mxcsr = 0;
    asm volatile("fnstcw %0; stmxcsr %1" : "=m"(control), "=m"(mxcsr));
    CHECK_EQUAL(control, 0x37F);
    CHECK_EQUAL(mxcsr & 0xFFC0, 0x1F80u);
    const uint32_t other = 0x1F80 | 0x6000;
    asm volatile("ldmxcsr %0" : : "m"(other));
    sleep_a_while();
    asm volatile("stmxcsr %0" : "=m"(mxcsr));
    CHECK_EQUAL(mxcsr & 0xFFC0, other);
    const uint32_t usual = 0x1F80;
    asm volatile("ldmxcsr %0" : : "m"(usual));
}

GUEST_TEST(extended_state, "Where XSAVE is offered it works, and XCR0 takes only sound values") {
    // A PV kernel is told so before it has switched it on (OSXSAVE, bit 27): Linux decides by that.
    if ((emulated_cpuid(1).ecx & 1u << 27) == 0) return skip("no XSAVE here");
    constexpr uint64_t kCr4Osxsave = 1u << 18;
    write_cr4(read_cr4() | kCr4Osxsave);
    uint32_t low = 0;
    uint32_t high = 0;
    CHECK(!catch_trap([&] { asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0)); }).happened);
    CHECK_EQUAL(low & 3, 3u);
    CHECK(!catch_trap([&] { asm volatile("xsetbv" : : "a"(low), "d"(high), "c"(0)); }).happened);
    // Without the x87 part, or with AVX and no SSE: refused.
    CHECK(catch_trap([&] {
              asm volatile("xsetbv" : : "a"(2), "d"(0), "c"(0));
          }).is(kVectorGeneralProtection, 0));
    CHECK(catch_trap([&] {
              asm volatile("xsetbv" : : "a"(5), "d"(0), "c"(0));
          }).is(kVectorGeneralProtection, 0));
    CHECK(catch_trap([&] {
              asm volatile("xsetbv" : : "a"(low), "d"(high), "c"(1));
          }).is(kVectorGeneralProtection, 0));
    uint32_t after = 0;
    asm volatile("xgetbv" : "=a"(after), "=d"(high) : "c"(0));
    CHECK_EQUAL(after, low);
}
