// rdmsr and wrmsr from guest kernel mode.

#include <torii/guest/cpu.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/report.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

GUEST_TEST(msr_efer, "EFER reads as a 64-bit kernel expects") {
    uint64_t value = 0;
    CHECK(!catch_trap([&] { value = read_msr(kMsrEfer); }).happened);
    CHECK_EQUAL(value & 0x501, 0x501u);  // SCE, LME, LMA
}

GUEST_TEST(msr_bases, "Writing FS, GS and kernel GS bases works, reading gives them back") {
    for (const uint32_t msr : {kMsrFsBase, kMsrGsBase, kMsrKernelGsBase}) {
        const uint64_t saved = read_msr(msr);
        const uint64_t value = 0x1234'5678'9000 + msr;
        CHECK(!catch_trap([&] { write_msr(msr, value); }).happened);
        CHECK_EQUAL(read_msr(msr), value);
        write_msr(msr, saved);
    }
}

GUEST_TEST(msr_bases_refused, "A non-canonical base raises #GP and changes nothing") {
    for (const uint32_t msr : {kMsrFsBase, kMsrGsBase, kMsrKernelGsBase}) {
        const uint64_t before = read_msr(msr);
        CHECK(catch_trap([&] { write_msr(msr, 0x8000'0000'0000'0000); }).is(kVectorGeneralProtection, 0));
        CHECK_EQUAL(read_msr(msr), before);
    }
}

GUEST_TEST(msr_unknown, "Registers that do not exist raise #GP") {
    CHECK(catch_trap([] { read_msr(0x3FFF'FFF0); }).is(kVectorGeneralProtection, 0));
    CHECK(catch_trap([] { write_msr(0x3FFF'FFF0, 0); }).is(kVectorGeneralProtection, 0));
}

GUEST_TEST(msr_system_call, "The real system-call entry is out of reach") {
    constexpr uint32_t kLstar = 0xC000'0082;
    const Caught caught = catch_trap([] { write_msr(kLstar, 0x1234); });
    // Refused aloud or in silence; either way the next hypercall still arrives.
    (void)caught;
    CHECK(xen_version<void>(abi::VersionOp::kVersion, nullptr) > 0);
}

GUEST_TEST(msr_hypercall_page, "The MSR that fills a hypercall page refuses frames that are not ours") {
    constexpr uint32_t kHypercallMsr = 0x4000'0000;
    CHECK(catch_trap([] { write_msr(kHypercallMsr, 0xFFF'FFFF'F000); }).is(kVectorGeneralProtection, 0));
}
