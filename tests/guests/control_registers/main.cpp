// Control and debug registers.

#include <torii/guest/cpu.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

constexpr uint64_t kCr0TaskSwitched = 8;

int64_t get_debugreg(uint32_t index) {
    return hypercall(abi::Hypercall::kGetDebugreg, index);
}
int64_t set_debugreg(uint32_t index, uint64_t value) {
    return hypercall(abi::Hypercall::kSetDebugreg, index, value);
}

}  // namespace

GUEST_TEST(cr0_reads, "CR0 shows protection and paging on") {
    uint64_t value = 0;
    CHECK(!catch_trap([&] { value = read_cr0(); }).happened);
    CHECK_EQUAL(value & 0x8000'0001, 0x8000'0001u);
}

GUEST_TEST(cr0_task_switched, "fpu_taskswitch sets and clears CR0.TS; an FPU instruction then raises #NM") {
    CHECK_SUCCEEDS(hypercall(abi::Hypercall::kFpuTaskswitch, 1));
    CHECK((read_cr0() & kCr0TaskSwitched) != 0);
    CHECK(catch_trap([] { asm volatile("fnop"); }).is(kVectorDeviceNotAvailable));
    // The trap itself has cleared it, as the hypervisor does for a lazy kernel.
    CHECK((read_cr0() & kCr0TaskSwitched) == 0);
    CHECK_SUCCEEDS(hypercall(abi::Hypercall::kFpuTaskswitch, 0));
    CHECK(!catch_trap([] { asm volatile("fnop"); }).happened);
}

GUEST_TEST(cr0_write_refused, "CR0 bits beyond TS cannot be changed") {
    const uint64_t before = read_cr0();
    CHECK(catch_trap([&] { write_cr0(before ^ 0x1'0000); }).is(kVectorGeneralProtection, 0));
    CHECK_EQUAL(read_cr0(), before);
    CHECK(!catch_trap([&] { write_cr0(before); }).happened);
}

GUEST_TEST(cr2_reads, "CR2 reads as the last fault's address") {
    catch_trap([] { (void)*reinterpret_cast<volatile uint64_t*>(0x7654'3000); });
    uint64_t value = 0;
    CHECK(!catch_trap([&] { value = read_cr2(); }).happened);
    CHECK_EQUAL(value, 0x7654'3000u);
}

GUEST_TEST(cr3_reads, "CR3 reads as the machine frame of our top-level table") {
    uint64_t value = 0;
    CHECK(!catch_trap([&] { value = read_cr3(); }).happened);
    CHECK_EQUAL(abi::mfn_from_cr3(value), mfn_of(boot_l4()));
}

GUEST_TEST(cr3_write, "Writing CR3 takes a top-level table of ours and nothing else") {
    const uint64_t before = read_cr3();
    CHECK(!catch_trap([&] { write_cr3(before); }).happened);
    Page* page = allocate_page();
    CHECK(catch_trap([&] { write_cr3(abi::cr3_from_mfn(mfn_of(page))); }).is(kVectorGeneralProtection, 0));
    CHECK_EQUAL(read_cr3(), before);
    free_page(page);
}

GUEST_TEST(cr4_reads, "CR4 shows PAE, not the hypervisor's own protections") {
    uint64_t value = 0;
    CHECK(!catch_trap([&] { value = read_cr4(); }).happened);
    CHECK((value & 0x20) != 0);
    CHECK_EQUAL(value & 0x30'0000, 0u);  // SMEP, SMAP
    CHECK(!catch_trap([&] { write_cr4(value); }).happened);
}

GUEST_TEST(debug_registers,
           "Breakpoint addresses of ours are taken, the hypervisor's and reserved bits refused") {
    CHECK_SUCCEEDS(set_debugreg(0, 0x1234'5678));
    CHECK_EQUAL(get_debugreg(0), 0x1234'5678);
    CHECK_FAILS(set_debugreg(0, abi::kHypervisorVirtStart + 0x1000), kEPERM);
    CHECK_FAILS(set_debugreg(0, 0x8000'0000'0000'0000), kEPERM);
    CHECK_EQUAL(get_debugreg(0), 0x1234'5678);
    CHECK_SUCCEEDS(set_debugreg(0, 0));
    CHECK_FAILS(set_debugreg(7, uint64_t{1} << 40), kEINVAL);
    CHECK_FAILS(set_debugreg(8, 0), kENODEV);
    CHECK_FAILS(get_debugreg(8), kENODEV);
}

GUEST_TEST(debug_breakpoint, "A data breakpoint raises #DB") {
    static volatile uint64_t watched;
    CHECK_SUCCEEDS(set_debugreg(0, virtual_address(const_cast<uint64_t*>(&watched))));
    CHECK_SUCCEEDS(
        set_debugreg(7, 0x9'0001));  // local 0, write, 8 bytes would be 0x9; length 4 or 8 by the CPU
    const Caught caught = catch_trap([] { watched = 1; });
    CHECK_SUCCEEDS(set_debugreg(7, 0));
    CHECK(caught.is(kVectorDebug));
    CHECK_EQUAL(get_debugreg(6) & 1, 1);
    CHECK_SUCCEEDS(set_debugreg(6, 0));
    CHECK_SUCCEEDS(set_debugreg(0, 0));
}
