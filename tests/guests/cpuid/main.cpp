// CPUID with the forced-emulation prefix.

#include <torii/abi/cpuid_leaves.h>
#include <torii/guest/cpu.h>
#include <torii/guest/report.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

GUEST_TEST(cpuid_hypervisor_leaves,
           "The hypervisor's leaves carry signature, version and the widest machine address") {
    const CpuidAnswer first = emulated_cpuid(abi::kCpuidFirstLeaf);
    CHECK_EQUAL(first.ebx, abi::kCpuidSignatureEbx);
    CHECK_EQUAL(first.ecx, abi::kCpuidSignatureEcx);
    CHECK_EQUAL(first.edx, abi::kCpuidSignatureEdx);
    CHECK(first.eax >= abi::kCpuidFirstLeaf + 2);
    CHECK_EQUAL(emulated_cpuid(abi::kCpuidFirstLeaf + 1).eax, 4u << 16 | 17);
    const CpuidAnswer features = emulated_cpuid(abi::kCpuidFirstLeaf + 2);
    CHECK_EQUAL(features.eax, 1u);
    CHECK_EQUAL(features.ebx, abi::kHypercallPageMsr);
    CHECK((features.ecx & abi::kCpuidFeatureMmuPtUpdatePreserveAd) != 0);
}

GUEST_TEST(cpuid_policy, "The emulated answers fit a 64-bit PV kernel") {
    const CpuidAnswer basic = emulated_cpuid(1);
    CHECK((basic.edx & 1u << 8) != 0);   // CMPXCHG8B
    CHECK((basic.edx & 1u << 26) != 0);  // SSE2
    CHECK((basic.ecx & 1u << 31) != 0);  // a hypervisor is present
    CHECK((basic.ecx & 1u << 5) == 0);   // no VMX
    CHECK((basic.ecx & 1u << 17) == 0);  // no PCID
    const CpuidAnswer extended = emulated_cpuid(0x8000'0001);
    CHECK((extended.edx & 1u << 29) != 0);  // long mode
    CHECK((extended.edx & 1u << 11) != 0);  // SYSCALL
    CHECK((extended.ecx & 1u << 2) == 0);   // no SVM
    // XSAVE is offered only switched on, so that a kernel need not try.
    const bool xsave = (basic.ecx & 1u << 26) != 0;
    const bool osxsave = (basic.ecx & 1u << 27) != 0;
    CHECK_EQUAL(xsave, osxsave);
}

GUEST_TEST(cpuid_seven, "What cannot be switched between domains is hidden") {
    if (emulated_cpuid(0).eax < 7) return skip("no leaf 7");
    const CpuidAnswer seven = emulated_cpuid(7);
    CHECK((seven.ecx & 1u << 7) == 0);   // no shadow stacks
    CHECK((seven.edx & 1u << 20) == 0);  // no indirect-branch tracking
    CHECK((seven.ecx & 1u << 3) == 0);   // no protection keys
}

GUEST_TEST(cpuid_beyond, "Leaves beyond the last answer, without a fault") {
    CHECK(!catch_trap([] { emulated_cpuid(0x7FFF'FFFF); }).happened);
    CHECK(!catch_trap([] { emulated_cpuid(0x8000'FFFF); }).happened);
    CHECK(!catch_trap([] { emulated_cpuid(abi::kCpuidFirstLeaf + 0xFF); }).happened);
}

GUEST_TEST(cpuid_prefix_alone, "The prefix before another instruction is an ordinary #UD at the prefix") {
    const Caught caught = catch_trap([] { asm volatile(".byte 0x0F, 0x0B, 0x78, 0x65, 0x6E; nop"); });
    CHECK(caught.is(kVectorInvalidOpcode));
    CHECK_EQUAL(*reinterpret_cast<const uint16_t*>(caught.context.rip), 0x0B0F);
}
