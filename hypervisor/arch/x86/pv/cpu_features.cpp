// One table: longer than a screen, but data.
#include "arch/x86/pv/cpu_features.h"

namespace torii::pv {
namespace {

using enum FeatureWord;
using enum Offer;

constexpr FeatureRow kRows[] = {
    // Leaf 1, edx
    {k1Edx, 0, kAccept},   // FPU
    {k1Edx, 1, kHide},     // VME: virtual-8086 mode doesn't exist in long mode
    {k1Edx, 2, kAccept},   // DE: CR4.DE is the guest's
    {k1Edx, 3, kHide},     // PSE: large pages can't be typed frame by frame
    {k1Edx, 4, kAccept},   // TSC
    {k1Edx, 5, kAccept},   // MSR: emulated
    {k1Edx, 6, kAccept},   // PAE
    {k1Edx, 7, kAccept},   // MCE: CR4.MCE reads as set
    {k1Edx, 8, kAccept},   // CMPXCHG8B
    {k1Edx, 9, kAccept},   // APIC: Linux takes its absence for a broken machine; PV kernels don't touch it
    {k1Edx, 11, kAccept},  // SEP: on Intel 32-bit processes use it (AMD: see make())
    {k1Edx, 12, kDom0Kernel},  // MTRR: only its kernel may learn how memory is typed, by platform_op
    {k1Edx, 13, kHide},        // PGE: a guest's global pages would outlive its address space
    {k1Edx, 14, kAccept},      // MCA: banks read as empty
    {k1Edx, 15, kAccept},      // CMOV
    {k1Edx, 16, kAccept},      // PAT: read-only, with the hypervisor's layout
    {k1Edx, 17, kHide},        // PSE36: as PSE
    {k1Edx, 19, kAccept},      // CLFLUSH
    {k1Edx, 21, kHide},        // DS: debug store writes to addresses that nobody checks
    {k1Edx, 22, kAccept},      // ACPI: Linux clears it in a domU
    {k1Edx, 23, kAccept},      // MMX
    {k1Edx, 24, kAccept},      // FXSR
    {k1Edx, 25, kAccept},      // SSE
    {k1Edx, 26, kAccept},      // SSE2
    {k1Edx, 27, kAccept},      // SS: self snoop
    {k1Edx, 28, kDom0},        // HTT: a domU's virtual CPUs have no siblings to know of
    {k1Edx, 29, kHide},        // TM1: thermal control isn't virtualised
    {k1Edx, 31, kHide},        // PBE: likewise
    // Leaf 1, ecx
    {k1Ecx, 0, kAccept},   // SSE3
    {k1Ecx, 1, kAccept},   // PCLMULQDQ
    {k1Ecx, 2, kHide},     // DTES64: as DS
    {k1Ecx, 3, kHide},     // MONITOR: needs ring 0; idling is the hypervisor's
    {k1Ecx, 4, kHide},     // DS-CPL: as DS
    {k1Ecx, 5, kHide},     // VMX: not nested
    {k1Ecx, 6, kHide},     // SMX: likewise
    {k1Ecx, 7, kHide},     // EIST: frequency MSRs aren't the guest's
    {k1Ecx, 8, kHide},     // TM2: as TM1
    {k1Ecx, 9, kAccept},   // SSSE3
    {k1Ecx, 12, kAccept},  // FMA
    {k1Ecx, 13, kAccept},  // CMPXCHG16B
    {k1Ecx, 14, kHide},    // xTPR: an MSR
    {k1Ecx, 15, kHide},    // PDCM: performance counters aren't virtualised
    {k1Ecx, 17, kHide},    // PCID: CR3 is loaded by the hypervisor
    {k1Ecx, 18, kHide},    // DCA: an MSR
    {k1Ecx, 19, kAccept},  // SSE4.1
    {k1Ecx, 20, kAccept},  // SSE4.2
    {k1Ecx, 21, kHide},    // x2APIC: no APIC behind it
    {k1Ecx, 22, kAccept},  // MOVBE
    {k1Ecx, 23, kAccept},  // POPCNT
    {k1Ecx, 24, kHide},    // TSC deadline: an APIC mode
    {k1Ecx, 25, kAccept},  // AES
    {k1Ecx, 26, kAccept},  // XSAVE: xsetbv is emulated
    {k1Ecx, 27, kHide},    // OSXSAVE: set with XSAVE, see make()
    {k1Ecx, 28, kAccept},  // AVX
    {k1Ecx, 29, kAccept},  // F16C
    {k1Ecx, 30, kAccept},  // RDRAND
    {k1Ecx, 31, kForce},   // HYPERVISOR: how guests know to look at leaf 0x40000000
    // Leaf 80000001, edx. The bits that AMD repeats from leaf 1 are copied in make().
    {k80000001Edx, 11, kAccept},  // SYSCALL
    {k80000001Edx, 20, kAccept},  // NX
    {k80000001Edx, 22, kAccept},  // MMXEXT
    {k80000001Edx, 25, kAccept},  // FFXSR: EFER.FFXSR stays clear, the bit only says it could be set
    {k80000001Edx, 26, kHide},    // 1 GiB pages: as PSE
    {k80000001Edx, 27, kAccept},  // RDTSCP: TSC_AUX is switched with the vCPU
    {k80000001Edx, 29, kAccept},  // LM
    {k80000001Edx, 30, kAccept},  // 3DNOWEXT
    {k80000001Edx, 31, kAccept},  // 3DNOW
    // Leaf 80000001, ecx
    {k80000001Ecx, 0, kAccept},   // LAHF
    {k80000001Ecx, 1, kDom0},     // CMP_LEGACY: as HTT
    {k80000001Ecx, 2, kHide},     // SVM: not nested
    {k80000001Ecx, 3, kHide},     // EXTAPIC: no APIC
    {k80000001Ecx, 4, kHide},     // CR8_LEGACY: mov cr8 isn't emulated
    {k80000001Ecx, 5, kAccept},   // ABM
    {k80000001Ecx, 6, kAccept},   // SSE4A
    {k80000001Ecx, 7, kAccept},   // MISALIGNSSE
    {k80000001Ecx, 8, kAccept},   // PREFETCHW
    {k80000001Ecx, 9, kHide},     // OSVW: MSRs
    {k80000001Ecx, 10, kHide},    // IBS: writes to addresses that nobody checks
    {k80000001Ecx, 11, kAccept},  // XOP
    {k80000001Ecx, 12, kHide},    // SKINIT
    {k80000001Ecx, 13, kHide},    // WDT
    {k80000001Ecx, 15, kHide},    // LWP: state that isn't switched
    {k80000001Ecx, 16, kAccept},  // FMA4
    {k80000001Ecx, 19, kHide},    // NODEID: an MSR
    {k80000001Ecx, 21, kAccept},  // TBM
    {k80000001Ecx, 22, kHide},    // TOPOEXT: leaves 8000001D and 1E say nothing
    {k80000001Ecx, 23, kHide},    // performance counters: not virtualised
    {k80000001Ecx, 24, kHide},    // north-bridge counters: likewise
    {k80000001Ecx, 26, kHide},    // DBEXT: address-mask MSRs aren't switched
    {k80000001Ecx, 29, kHide},    // MONITORX: needs no ring 0, but would idle a physical CPU
    // Leaf D.1, eax
    {kD1Eax, 0, kAccept},  // XSAVEOPT
    {kD1Eax, 1, kAccept},  // XSAVEC
    {kD1Eax, 2, kAccept},  // XGETBV(1)
    {kD1Eax, 3, kHide},    // XSAVES: privileged, and XSS isn't switched
    {kD1Eax, 4, kHide},    // XFD: only AMX needs it
    // Leaf 7, ebx
    {k7Ebx, 0, kAccept},  // FSGSBASE: both bases are switched, CR4.FSGSBASE is set for guests that set theirs
    {k7Ebx, 1, kHide},    // TSC_ADJUST: an MSR
    {k7Ebx, 2, kHide},    // SGX
    {k7Ebx, 3, kAccept},  // BMI1
    {k7Ebx, 4, kHide},    // HLE: with RTM
    {k7Ebx, 5, kAccept},  // AVX2
    {k7Ebx, 6, kAccept},  // FDP only on exceptions: a fact about the CPU
    {k7Ebx, 7, kHide},    // SMEP: the guest's kernel runs in ring 3
    {k7Ebx, 8, kAccept},  // BMI2
    {k7Ebx, 9, kAccept},  // ERMS
    {k7Ebx, 10, kHide},   // INVPCID: privileged
    {k7Ebx, 11, kHide},   // RTM: its abort control and TAA mitigation aren't virtualised
    {k7Ebx, 12, kHide},   // PQM: MSRs
    {k7Ebx, 13, kAccept},  // no FPU CS and DS: a fact about the CPU
    {k7Ebx, 14, kHide},    // MPX: state that isn't switched
    {k7Ebx, 15, kHide},    // PQE: MSRs
    {k7Ebx, 16, kAccept},  // AVX512F
    {k7Ebx, 17, kAccept},  // AVX512DQ
    {k7Ebx, 18, kAccept},  // RDSEED
    {k7Ebx, 19, kAccept},  // ADX
    {k7Ebx, 20, kHide},    // SMAP: as SMEP
    {k7Ebx, 21, kAccept},  // AVX512_IFMA
    {k7Ebx, 23, kAccept},  // CLFLUSHOPT
    {k7Ebx, 24, kAccept},  // CLWB
    {k7Ebx, 25, kHide},    // Processor Trace: writes to addresses that nobody checks
    {k7Ebx, 26, kAccept},  // AVX512PF
    {k7Ebx, 27, kAccept},  // AVX512ER
    {k7Ebx, 28, kAccept},  // AVX512CD
    {k7Ebx, 29, kAccept},  // SHA
    {k7Ebx, 30, kAccept},  // AVX512BW
    {k7Ebx, 31, kAccept},  // AVX512VL
    // Leaf 7, ecx
    {k7Ecx, 0, kAccept},   // PREFETCHWT1
    {k7Ecx, 1, kAccept},   // AVX512_VBMI
    {k7Ecx, 2, kHide},     // UMIP: a CR4 bit that would have to be switched
    {k7Ecx, 3, kHide},     // PKU: CR4.PKE stays off, PKRU isn't switched
    {k7Ecx, 4, kHide},     // OSPKE: likewise
    {k7Ecx, 5, kHide},     // WAITPKG: idles a physical CPU
    {k7Ecx, 6, kAccept},   // AVX512_VBMI2
    {k7Ecx, 7, kHide},     // CET shadow stacks: state that isn't switched
    {k7Ecx, 8, kAccept},   // GFNI
    {k7Ecx, 9, kAccept},   // VAES
    {k7Ecx, 10, kAccept},  // VPCLMULQDQ
    {k7Ecx, 11, kAccept},  // AVX512_VNNI
    {k7Ecx, 12, kAccept},  // AVX512_BITALG
    {k7Ecx, 14, kAccept},  // AVX512_VPOPCNTDQ
    {k7Ecx, 16, kHide},    // LA57: the ABI's address space has 48 bits
    {k7Ecx, 22, kAccept},  // RDPID: as RDTSCP
    {k7Ecx, 25, kAccept},  // CLDEMOTE
    {k7Ecx, 27, kAccept},  // MOVDIRI
    {k7Ecx, 28, kAccept},  // MOVDIR64B
    {k7Ecx, 29, kHide},    // ENQCMD: a PASID MSR
    {k7Ecx, 31, kHide},    // PKS: as PKU
    // Leaf 80000007, edx
    {k80000007Edx, 7, kHide},   // hardware P-states: MSRs
    {k80000007Edx, 8, kDom0},   // invariant TSC: a domU could not be moved to another machine
    {k80000007Edx, 9, kHide},   // core performance boost: MSRs
    {k80000007Edx, 10, kHide},  // APERF and MPERF: MSRs
    // Leaf 80000008, ebx
    {k80000008Ebx, 0, kAccept},  // CLZERO
    {k80000008Ebx, 2, kAccept},  // FXSAVE always stores error pointers: a fact about the CPU
    {k80000008Ebx, 9, kHide},    // WBNOINVD: privileged, not emulated
    {k80000008Ebx, 12, kHide},   // IBPB: PRED_CMD isn't virtualised; the hypervisor issues it between domains
    {k80000008Ebx, 14, kHide},   // IBRS: SPEC_CTRL isn't virtualised
    {k80000008Ebx, 15, kHide},   // STIBP: likewise
    {k80000008Ebx, 24, kHide},   // SSBD: likewise
    {k80000008Ebx, 26, kAccept},  // not open to speculative store bypass: a fact about the CPU
    {k80000008Ebx, 29, kAccept},  // not open to branch type confusion: likewise
    // Leaf 7, edx
    {k7Edx, 2, kAccept},   // AVX512_4VNNIW
    {k7Edx, 3, kAccept},   // AVX512_4FMAPS
    {k7Edx, 4, kAccept},   // fast short rep mov
    {k7Edx, 5, kHide},     // user interrupts: state that isn't switched
    {k7Edx, 8, kAccept},   // AVX512_VP2INTERSECT
    {k7Edx, 10, kAccept},  // MD_CLEAR: verw works in ring 3
    {k7Edx, 14, kAccept},  // SERIALIZE
    {k7Edx, 16, kHide},    // TSXLDTRK: with RTM
    {k7Edx, 20, kHide},    // CET branch tracking: state that isn't switched
    {k7Edx, 22, kHide},    // AMX_BF16: tile state isn't switched
    {k7Edx, 23, kAccept},  // AVX512_FP16
    {k7Edx, 24, kHide},    // AMX_TILE: likewise
    {k7Edx, 25, kHide},    // AMX_INT8: likewise
    {k7Edx, 26, kHide},    // IBRS and IBPB: SPEC_CTRL isn't virtualised
    {k7Edx, 27, kHide},    // STIBP: likewise
    {k7Edx, 28, kHide},    // L1D_FLUSH: an MSR
    {k7Edx, 29, kHide},    // ARCH_CAPABILITIES: an MSR that describes what isn't offered
    {k7Edx, 31, kHide},    // SSBD: as IBRS
    // Leaf 7.1, eax
    {k7Sub1Eax, 4, kAccept},   // AVX_VNNI
    {k7Sub1Eax, 5, kAccept},   // AVX512_BF16
    {k7Sub1Eax, 10, kAccept},  // fast zero-length rep movsb
    {k7Sub1Eax, 11, kAccept},  // fast short rep stosb
    {k7Sub1Eax, 12, kAccept},  // fast short rep cmpsb
    {k7Sub1Eax, 17, kHide},    // FRED: privileged
    {k7Sub1Eax, 18, kHide},    // LKGS: privileged
    {k7Sub1Eax, 26, kHide},    // LAM: CR3 and CR4 bits
    // Leaf 80000021, eax
    {k80000021Eax, 2, kAccept},   // LFENCE serialises dispatch; see make()
    {k80000021Eax, 6, kAccept},   // a null selector clears the base: a fact about the CPU
    {k80000021Eax, 8, kHide},     // automatic IBRS: an EFER bit
    {k80000021Eax, 29, kAccept},  // not open to return stack overflow: a fact about the CPU
};

consteval FeatureMasks masks_of_table() {
    FeatureMasks masks;
    for (const FeatureRow& row : kRows) {
        const auto word = static_cast<unsigned>(row.word);
        const uint32_t bit = 1u << row.bit;
        if (row.offer == kAccept) masks.accept[word] |= bit;
        if (row.offer == kForce) masks.force[word] |= bit;
        if (row.offer == kDom0) masks.dom0[word] |= bit;
        if (row.offer == kDom0Kernel) masks.dom0_kernel[word] |= bit;
    }
    return masks;
}

// Each bit has one row.
consteval bool rows_are_unique() {
    std::array<uint32_t, kFeatureWords> seen{};
    for (const FeatureRow& row : kRows) {
        uint32_t& word = seen[static_cast<unsigned>(row.word)];
        if ((word >> row.bit & 1) != 0) return false;
        word |= 1u << row.bit;
    }
    return true;
}
static_assert(rows_are_unique());

struct Dependency {
    FeatureBit needed;
    FeatureWord word;
    uint32_t dependents;
};

constexpr uint32_t bits(std::initializer_list<unsigned> numbers) {
    uint32_t mask = 0;
    for (const unsigned number : numbers)
        mask |= 1u << number;
    return mask;
}

// In an order in which one pass suffices.
constexpr Dependency kDependencies[] = {
    {feature::kXsave, k1Ecx, bits({27, 28})},  // OSXSAVE, AVX
    {feature::kXsave, kD1Eax, ~0u},
    {feature::kAvx, k1Ecx, bits({12, 29})},                       // FMA, F16C
    {feature::kAvx, k7Ebx, bits({5})},                            // AVX2
    {feature::kAvx, k7Ecx, bits({9, 10})},                        // VAES, VPCLMULQDQ
    {feature::kAvx, k80000001Ecx, bits({11, 16})},                // XOP, FMA4
    {feature::kAvx, k7Sub1Eax, bits({4})},                        // AVX_VNNI
    {{k7Ebx, 5}, k7Ebx, bits({16, 17, 21, 26, 27, 28, 30, 31})},  // AVX512 without AVX2
    {feature::kAvx512f, k7Ebx, bits({17, 21, 26, 27, 28, 30, 31})},
    {feature::kAvx512f, k7Ecx, bits({1, 6, 11, 12, 14})},
    {feature::kAvx512f, k7Edx, bits({2, 3, 8, 23})},
    {feature::kAvx512f, k7Sub1Eax, bits({5})},
};

}  // namespace

constexpr FeatureMasks kFeatureMasks = masks_of_table();

void clear_dependents(FeatureSet& set) {
    for (const Dependency& dependency : kDependencies) {
        if (!has(set, dependency.needed))
            set[static_cast<unsigned>(dependency.word)] &= ~dependency.dependents;
    }
}

}  // namespace torii::pv
