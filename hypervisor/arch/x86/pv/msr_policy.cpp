#include "arch/x86/pv/msr_policy.h"

namespace torii::pv {
namespace {

// On which hosts, and for whom, a row counts.
enum Scope : uint8_t {
    kIntel = 1 << 0,
    kAmd = 1 << 1,  // and Hygon
    kAny = 0xF,     // any vendor
    kControlDomain = 1 << 4,
};

enum class Read : uint8_t {
    kNo,
    kZero,
    kHost,
    kTsc,
    kTscAux,
    kBase,
    kApicBase,
    kMiscEnable,
    kMachineCheckCapability,
    kMachineCheckBank,
    kPat,
    kEfer,
    kLocked,
    kLfence,
};

enum class Write : uint8_t {
    kNo,
    kDrop,
    kZero,  // only zero, dropped
    kSame,  // only what is read, dropped
    kTscAux,
    kBase,
    kMachineCheckBank,
    kHypercallPage,
};

struct Row {
    uint32_t first;
    uint32_t last;
    uint8_t scope;
    Read read;
    Write write;
};

constexpr Row kRows[] = {
    {0x000, 0x001, kAny, Read::kZero, Write::kNo},      // P5 machine check: Linux reads it on old families
    {0x010, 0x010, kAny, Read::kTsc, Write::kNo},       // TSC
    {0x017, 0x017, kIntel, Read::kHost, Write::kNo},    // PLATFORM_ID: the microcode driver wants it
    {0x01B, 0x01B, kAny, Read::kApicBase, Write::kNo},  // APIC_BASE
    {0x03A, 0x03A, kIntel, Read::kLocked, Write::kNo},  // FEATURE_CONTROL: locked, all off
    {0x08B, 0x08B, kAny, Read::kHost, Write::kNo},      // microcode revision; shown in /proc/cpuinfo
    {0x0CE, 0x0CE, kAny, Read::kZero, Write::kNo},      // PLATFORM_INFO: no CPUID faulting
    {0x0E7, 0x0E8, kAny, Read::kNo, Write::kDrop},      // MPERF, APERF: Linux resets them
    {0x140, 0x140, kAny, Read::kZero, Write::kZero},    // MISC_FEATURES_ENABLES
    {0x179, 0x179, kAny, Read::kMachineCheckCapability, Write::kDrop},
    {0x17A, 0x17B, kAny, Read::kZero, Write::kDrop},  // MCG_STATUS, MCG_CTL
    {0x1A0, 0x1A0, kAny, Read::kMiscEnable, Write::kDrop},
    {kMsrPat, kMsrPat, kAny, Read::kPat, Write::kNo},
    {0x280, 0x29F, kAny, Read::kZero, Write::kDrop},  // corrected machine-check thresholds
    {0x345, 0x345, kAny, Read::kZero, Write::kNo},    // PERF_CAPABILITIES
    {0x400, 0x47F, kAny, Read::kMachineCheckBank, Write::kMachineCheckBank},
    {0x4000'0000, 0x4000'0000, kAny, Read::kZero, Write::kHypercallPage},
    {kMsrEfer, kMsrEfer, kAny, Read::kEfer, Write::kSame},
    {kMsrFsBase, kMsrKernelGsBase, kAny, Read::kBase, Write::kBase},
    {kMsrTscAux, kMsrTscAux, kAny, Read::kTscAux, Write::kTscAux},
    {0xC001'0000, 0xC001'0007, kAmd, Read::kZero, Write::kDrop},  // K7 performance counters: stopped
    {0xC001'0010, 0xC001'0010, kAmd | kControlDomain, Read::kHost, Write::kNo},  // SYSCFG
    {0xC001'0015, 0xC001'0015, kAmd, Read::kZero, Write::kDrop},                 // HWCR
    {0xC001'0016, 0xC001'001A, kAmd | kControlDomain, Read::kHost, Write::kNo},  // IORRs, TOP_MEM
    {0xC001'001D, 0xC001'001D, kAmd | kControlDomain, Read::kHost, Write::kNo},  // TOP_MEM2
    {0xC001'001F, 0xC001'001F, kAmd, Read::kZero, Write::kDrop},                 // NB_CFG
    {0xC001'0041, 0xC001'0042, kAmd, Read::kZero, Write::kDrop},                 // FIDVID
    {0xC001'0061, 0xC001'006B, kAmd, Read::kZero, Write::kDrop},                 // P-states: none
    {0xC001'0112, 0xC001'0113, kAmd | kControlDomain, Read::kHost, Write::kNo},  // SMM address and mask
    {0xC001'0200, 0xC001'020B, kAmd, Read::kZero, Write::kDrop},    // performance counters: stopped
    {0xC001'1029, 0xC001'1029, kAmd, Read::kLfence, Write::kDrop},  // DE_CFG: whether LFENCE serialises
};

constexpr uint64_t kMachineCheckBanks = 2;
constexpr uint64_t kApicBootstrap = 1u << 8;
constexpr uint64_t kApicX2 = 1u << 10;
constexpr uint64_t kEferBase = 1u << 0 | 1u << 8 | 1u << 10;  // SCE, LME, LMA
constexpr uint64_t kEferNoExecute = 1u << 11;
constexpr uint64_t kMiscPerformanceMonitoring = 1u << 7;
constexpr uint64_t kMiscNoBranchTrace = 1u << 11;
constexpr uint64_t kMiscNoSampling = 1u << 12;
constexpr uint64_t kMiscMonitor = 1u << 18;
constexpr uint64_t kMiscNoXtpr = 1u << 23;
constexpr FeatureBit kNoExecute{FeatureWord::k80000001Edx, 20};

bool in_scope(const Row& row, const MsrViewer& viewer) {
    if ((row.scope & kControlDomain) != 0 && !viewer.control_domain) return false;
    const uint8_t vendors = row.scope & kAny;
    if (vendors == kAny) return true;
    const CpuVendor vendor = viewer.policy->vendor();
    if (vendor == CpuVendor::kIntel) return (vendors & kIntel) != 0;
    return (vendor == CpuVendor::kAmd || vendor == CpuVendor::kHygon) && (vendors & kAmd) != 0;
}

const Row* find_row(uint32_t index, const MsrViewer& viewer) {
    for (const Row& row : kRows) {
        if (index >= row.first && index <= row.last) return in_scope(row, viewer) ? &row : nullptr;
    }
    return nullptr;
}

// While the guest's kernel runs, GS_BASE is its kernel's and KERNEL_GS_BASE the one that user mode will have.
abi::SegmentBase base_of(uint32_t index) {
    if (index == kMsrFsBase) return abi::SegmentBase::kFs;
    return index == kMsrGsBase ? abi::SegmentBase::kGsKernel : abi::SegmentBase::kGsUser;
}

MsrReadAnswer value(uint64_t number) {
    return {.source = MsrSource::kValue, .value = number};
}

bool has_tsc_aux(const MsrViewer& viewer) {
    const FeatureSet& features = viewer.policy->features();
    return has(features, feature::kRdtscp) || has(features, feature::kRdpid);
}

// Banks of four: CTL, STATUS, ADDR, MISC. The first two exist, enabled and empty; the rest read as zero.
uint64_t machine_check_bank(uint32_t index) {
    const uint32_t bank = (index - 0x400) / 4;
    return index % 4 == 0 && bank < kMachineCheckBanks ? ~uint64_t{0} : 0;
}

uint64_t efer(const MsrViewer& viewer) {
    return kEferBase | (has(viewer.policy->features(), kNoExecute) ? kEferNoExecute : 0);
}

bool is_canonical(uint64_t address) {
    return static_cast<uint64_t>(static_cast<int64_t>(address << 16) >> 16) == address;
}

}  // namespace

MsrReadAnswer read_msr(uint32_t index, const MsrViewer& viewer) {
    const Row* row = find_row(index, viewer);
    if (row == nullptr) return {};
    switch (row->read) {
        case Read::kNo:
            return {};
        case Read::kZero:
            return value(0);
        case Read::kHost:
            return {.source = MsrSource::kHost};
        case Read::kTsc:
            return {.source = MsrSource::kTsc};
        case Read::kTscAux:
            return {.source = has_tsc_aux(viewer) ? MsrSource::kTscAux : MsrSource::kFault};
        case Read::kBase:
            return {.source = MsrSource::kSegmentBase, .base = base_of(index)};
        case Read::kApicBase:
            return {.source = MsrSource::kHost,
                    .value = viewer.vcpu == 0 ? kApicBootstrap : 0,
                    .mask = ~(kApicBootstrap | kApicX2)};
        case Read::kMiscEnable:
            return {.source = MsrSource::kHost,
                    .value = kMiscNoBranchTrace | kMiscNoSampling | kMiscNoXtpr,
                    .mask = ~(kMiscPerformanceMonitoring | kMiscMonitor)};
        case Read::kMachineCheckCapability:
            return value(kMachineCheckBanks);
        case Read::kMachineCheckBank:
            return value(machine_check_bank(index));
        case Read::kPat:
            return value(kGuestPat);
        case Read::kEfer:
            return value(efer(viewer));
        case Read::kLocked:
            return value(1);
        case Read::kLfence:
            return value(has(viewer.policy->features(), feature::kLfenceDispatch) ? 2 : 0);
    }
    return {};
}

MsrWriteAnswer write_msr(uint32_t index, uint64_t number, const MsrViewer& viewer) {
    const Row* row = find_row(index, viewer);
    if (row == nullptr) return {};
    const auto drop_if = [](bool allowed) {
        return MsrWriteAnswer{.sink = allowed ? MsrSink::kDrop : MsrSink::kFault};
    };
    switch (row->write) {
        case Write::kNo:
            return {};
        case Write::kDrop:
            return drop_if(true);
        case Write::kZero:
            return drop_if(number == 0);
        case Write::kSame:
            return drop_if(number == read_msr(index, viewer).value);
        case Write::kMachineCheckBank:
            return drop_if(index % 4 == 0 || number == 0);
        case Write::kTscAux:
            return {.sink = has_tsc_aux(viewer) && number >> 32 == 0 ? MsrSink::kTscAux : MsrSink::kFault};
        case Write::kBase:
            return {.sink = is_canonical(number) ? MsrSink::kSegmentBase : MsrSink::kFault,
                    .base = base_of(index)};
        case Write::kHypercallPage:
            return {.sink = (number & 0xFFF) == 0 ? MsrSink::kHypercallPage : MsrSink::kFault};
    }
    return {};
}

}  // namespace torii::pv
