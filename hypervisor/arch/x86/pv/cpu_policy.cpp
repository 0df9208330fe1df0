#include "arch/x86/pv/cpu_policy.h"

namespace torii::pv {
namespace {

constexpr uint32_t kExtendedBase = 0x8000'0000;
constexpr uint32_t kHypervisorBase = 0x4000'0000;
constexpr uint32_t kLastHypervisorLeaf = kHypervisorBase + 5;
constexpr uint32_t kMaxBasicLeaf = 0xD;

// Public arch-x86/cpuid.h.
constexpr CpuidRegisters kSignature{kLastHypervisorLeaf, 0x566E'6558, 0x6558'4D4D, 0x4D4D'566E};
constexpr uint32_t kVersion = 4u << 16 | 17;  // the ABI's, not ours
constexpr uint32_t kHypercallPages = 1;
constexpr uint32_t kHypercallPageMsr = 0x4000'0000;
constexpr uint32_t kPreservesAccessedDirty = 1;

// What AMD's leaf 80000001.edx repeats of leaf 1.edx (APM volume 3, E.4.2).
constexpr uint32_t kRepeatedBits = 0x0183'F3FF;

constexpr uint32_t kLegacyXsaveBytes = 512 + 64;

constexpr auto word(FeatureWord w) {
    return static_cast<unsigned>(w);
}

uint32_t& word_of(FeatureSet& set, FeatureWord w) {
    return set[word(w)];
}

void set_bit(FeatureSet& set, FeatureBit feature, bool value) {
    uint32_t& w = word_of(set, feature.word);
    w = value ? w | 1u << feature.bit : w & ~(1u << feature.bit);
}

FeatureSet features_of(const HostCpuid& host) {
    const CpuidRegisters leaf1 = host.find(1), leaf7 = host.find(7), leaf7_1 = host.find(7, 1);
    const CpuidRegisters e1 = host.find(kExtendedBase + 1), e7 = host.find(kExtendedBase + 7);
    const CpuidRegisters e8 = host.find(kExtendedBase + 8), e21 = host.find(kExtendedBase + 0x21);
    return {leaf1.d, leaf1.c, e1.d, e1.c,    host.find(0xD, 1).a, leaf7.b,
            leaf7.c, e7.d,    e8.b, leaf7.d, leaf7_1.a,           e21.a};
}

bool is_amd_like(CpuVendor vendor) {
    return vendor == CpuVendor::kAmd || vendor == CpuVendor::kHygon;
}

}  // namespace

CpuidRegisters HostCpuid::find(uint32_t leaf, uint32_t subleaf) const {
    for (const CpuidLeaf& entry : leaves()) {
        if (entry.leaf == leaf && entry.subleaf == subleaf) return entry.value;
    }
    return {};
}

void HostCpuid::add(uint32_t leaf, uint32_t subleaf, const CpuidRegisters& value) {
    if (count_ < leaves_.size()) leaves_[count_++] = {leaf, subleaf, value};
}

CpuVendor vendor_of(const CpuidRegisters& leaf0) {
    if (leaf0.b == 0x756E'6547 && leaf0.d == 0x4965'6E69 && leaf0.c == 0x6C65'746E) return CpuVendor::kIntel;
    if (leaf0.b == 0x6874'7541 && leaf0.d == 0x6974'6E65 && leaf0.c == 0x444D'4163) return CpuVendor::kAmd;
    if (leaf0.b == 0x6F67'7948 && leaf0.d == 0x6E65'476E && leaf0.c == 0x656E'6975) return CpuVendor::kHygon;
    return CpuVendor::kOther;
}

CpuSignature signature_of(const CpuidRegisters& leaf1) {
    const uint32_t a = leaf1.a;
    CpuSignature signature{a >> 8 & 0xF, a >> 4 & 0xF, a & 0xF};
    const unsigned base = signature.family;
    if (base == 0xF) signature.family += a >> 20 & 0xFF;
    if (base == 0xF || base == 6) signature.model |= (a >> 16 & 0xF) << 4;
    return signature;
}

bool lfence_serialises(const HostCpuid& host) {
    if (!is_amd_like(vendor_of(host.find(0)))) return true;
    const unsigned family = signature_of(host.find(1)).family;
    const FeatureSet features = features_of(host);
    return family == 0xF || family == 0x11 || has(features, feature::kLfenceDispatch);
}

CpuPolicy CpuPolicy::make(const HostCpuid& host, const PolicyOptions& options) {
    CpuPolicy policy;
    policy.vendor_ = vendor_of(host.find(0));
    policy.control_domain_ = options.control_domain;
    policy.machine_address_bits_ = options.machine_address_bits;
    policy.make_features(host, options);
    policy.make_basic(host, options);
    policy.make_extended(host);
    return policy;
}

void CpuPolicy::make_features(const HostCpuid& host, const PolicyOptions& options) {
    const FeatureSet raw = features_of(host);
    for (unsigned i = 0; i < kFeatureWords; ++i) {
        uint32_t offered = kFeatureMasks.accept[i];
        if (options.control_domain) offered |= kFeatureMasks.dom0[i];
        features_[i] = (raw[i] & offered) | kFeatureMasks.force[i];
        kernel_features_[i] = options.control_domain ? raw[i] & kFeatureMasks.dom0_kernel[i] : 0;
    }

    const CpuidRegisters components = host.find(0xD);
    const uint64_t host_xcr0 = uint64_t{components.d} << 32 | components.a;
    xcr0_ = has(features_, feature::kXsave) ? host_xcr0 & options.xcr0 & 0xE7 : 0;
    if (!is_valid_xcr0(xcr0_, xcr0_)) xcr0_ &= 3;
    set_bit(features_, feature::kXsave, xcr0_ != 0);
    set_bit(features_, feature::kOsxsave, xcr0_ != 0);  // Linux keeps XSAVE only when both are set
    if ((xcr0_ & 4) == 0) set_bit(features_, feature::kAvx, false);
    if ((xcr0_ & 0xE0) == 0) set_bit(features_, feature::kAvx512f, false);

    // AMD's sysenter doesn't work in long mode (APM volume 3, SYSENTER).
    if (is_amd_like(vendor_)) set_bit(features_, feature::kSep, false);
    if (!options.fsgsbase) set_bit(features_, feature::kFsgsbase, false);
    if (options.invariant_tsc_for_guests && has(raw, feature::kInvariantTsc))
        set_bit(features_, feature::kInvariantTsc, true);
    if (is_amd_like(vendor_))
        set_bit(features_, feature::kLfenceDispatch,
                lfence_serialises(host) || options.lfence_made_serialising);
    clear_dependents(features_);

    const auto repeat = [this](FeatureSet& set) {
        uint32_t& target = word_of(set, FeatureWord::k80000001Edx);
        target &= ~kRepeatedBits;
        if (is_amd_like(vendor_)) target |= word_of(set, FeatureWord::k1Edx) & kRepeatedBits;
    };
    repeat(features_);
    repeat(kernel_features_);
}

void CpuPolicy::make_basic(const HostCpuid& host, const PolicyOptions& options) {
    basic_[0] = host.find(0);
    if (basic_[0].a > kMaxBasicLeaf) basic_[0].a = kMaxBasicLeaf;
    basic_[1] = host.find(1);
    basic_[1].b &= 0x00FF'FFFF;                               // the APIC id is the vCPU's
    if (!options.control_domain) basic_[1].b &= 0xFF00'FFFF;  // as many siblings as vCPUs: one
    basic_[1].c = features_[word(FeatureWord::k1Ecx)];
    basic_[1].d = features_[word(FeatureWord::k1Edx)];
    basic_[2] = host.find(2);
    for (uint32_t i = 0; i < kCacheSubleaves && vendor_ == CpuVendor::kIntel; ++i) {
        caches_[i] = host.find(4, i);
        if (!options.control_domain) caches_[i].a &= 0x3FFF;  // nobody shares a virtual CPU's caches
    }
    // Leaves 5 (mwait) and 6 (thermal and power) describe what isn't offered.
    basic_[7] = {1, features_[word(FeatureWord::k7Ebx)], features_[word(FeatureWord::k7Ecx)],
                 features_[word(FeatureWord::k7Edx)]};
    if (features_[word(FeatureWord::k7Sub1Eax)] == 0 || host.find(7).a == 0) basic_[7].a = 0;
    for (uint32_t i = 2; i < kXsaveComponents; ++i) {
        if ((xcr0_ >> i & 1) != 0) xsave_[i] = host.find(0xD, i);
    }
}

void CpuPolicy::make_extended(const HostCpuid& host) {
    const uint32_t host_max = host.find(kExtendedBase).a;
    for (uint32_t i = 0; i < kExtendedLeaves; ++i)
        extended_[i] = host.find(kExtendedBase + i);
    extended_[0].a = host_max < kExtendedBase + 8 ? host_max : kExtendedBase + 8;
    if (features_[word(FeatureWord::k80000021Eax)] != 0) extended_[0].a = kExtendedBase + 0x21;
    extended_[1].c = features_[word(FeatureWord::k80000001Ecx)];
    extended_[1].d = features_[word(FeatureWord::k80000001Edx)];
    extended_[7] = {0, 0, 0, features_[word(FeatureWord::k80000007Edx)]};
    // Physical bits as the host, linear bits never more than the ABI's 48; no guest-physical bits.
    CpuidRegisters& sizes = extended_[8];
    const uint32_t linear = (sizes.a >> 8 & 0xFF) > 48 ? 48 : sizes.a >> 8 & 0xFF;
    sizes.a = (sizes.a & 0xFF) | linear << 8;
    sizes.b = features_[word(FeatureWord::k80000008Ebx)];
    sizes.c = control_domain_ && is_amd_like(vendor_) ? sizes.c & 0x0000'F0FF : 0;
    sizes.d = 0;
}

CpuidRegisters CpuPolicy::query(uint32_t leaf, uint32_t subleaf, const CpuidViewer& viewer) const {
    if (leaf >= kHypervisorBase && leaf <= kLastHypervisorLeaf) return hypervisor(leaf, subleaf, viewer);
    if (leaf >= kExtendedBase && leaf <= extended_[0].a) return extended(leaf, viewer);
    if (leaf <= basic_[0].a) return basic(leaf, subleaf, viewer);
    return {};
}

CpuidRegisters CpuPolicy::basic(uint32_t leaf, uint32_t subleaf, const CpuidViewer& viewer) const {
    if (leaf == 0xD) return xsave(subleaf, viewer);
    if (leaf >= kBasicLeaves) return {};
    if (leaf == 4) return subleaf < kCacheSubleaves ? caches_[subleaf] : CpuidRegisters{};
    CpuidRegisters value = basic_[leaf];
    if (leaf == 1) {
        // APIC ids leave room for a sibling: ids of hardware threads are even in a machine without
        // hyper-threads.
        value.b |= viewer.vcpu * 2 << 24;
        if (viewer.kernel_mode) value.d |= kernel_features_[word(FeatureWord::k1Edx)];
    }
    if (leaf == 7 && subleaf != 0)
        return subleaf == 1 && value.a >= 1 ? CpuidRegisters{features_[word(FeatureWord::k7Sub1Eax)], 0, 0, 0}
                                            : CpuidRegisters{};
    return value;
}

CpuidRegisters CpuPolicy::extended(uint32_t leaf, const CpuidViewer& viewer) const {
    const uint32_t i = leaf - kExtendedBase;
    if (i == 0x21) return {features_[word(FeatureWord::k80000021Eax)], 0, 0, 0};
    if (i >= kExtendedLeaves) return {};
    CpuidRegisters value = extended_[i];
    if (i == 1 && viewer.kernel_mode) value.d |= kernel_features_[word(FeatureWord::k80000001Edx)];
    return value;
}

CpuidRegisters CpuPolicy::hypervisor(uint32_t leaf, uint32_t subleaf, const CpuidViewer& viewer) const {
    const TscInfo& tsc = viewer.tsc;
    switch (leaf - kHypervisorBase) {
        case 0:
            return kSignature;
        case 1:
            return {kVersion, 0, 0, 0};
        case 2:
            return {kHypercallPages, kHypercallPageMsr, kPreservesAccessedDirty, 0};
        case 3:
            if (subleaf == 0) {
                const uint32_t rdtscp = has(features_, feature::kRdtscp) ? 1u << 2 : 0;
                const uint32_t reliable = has(features_, feature::kInvariantTsc) ? 1u << 1 : 0;
                return {(tsc.emulated ? 1u : 0u) | reliable | rdtscp, tsc.mode, tsc.guest_khz,
                        tsc.incarnation};
            }
            if (subleaf == 1)
                return {static_cast<uint32_t>(tsc.offset), static_cast<uint32_t>(tsc.offset >> 32),
                        tsc.multiplier, static_cast<uint32_t>(tsc.shift)};
            return subleaf == 2 ? CpuidRegisters{viewer.host_tsc_khz, 0, 0, 0} : CpuidRegisters{};
        case 5:
            return subleaf == 0 ? CpuidRegisters{0, machine_address_bits_, 0, 0} : CpuidRegisters{};
        default:
            return {};  // leaf 4 is for guests with hardware virtualisation
    }
}

uint32_t CpuPolicy::xsave_size(uint64_t xcr0) const {
    uint32_t size = kLegacyXsaveBytes;
    for (unsigned i = 2; i < kXsaveComponents; ++i) {
        const uint32_t end = xsave_[i].a + xsave_[i].b;
        if ((xcr0 >> i & 1) != 0 && end > size) size = end;
    }
    return size;
}

uint32_t CpuPolicy::compacted_size(uint64_t xcr0) const {
    uint32_t size = kLegacyXsaveBytes;
    for (unsigned i = 2; i < kXsaveComponents; ++i) {
        if ((xcr0 >> i & 1) == 0) continue;
        if ((xsave_[i].c & 2) != 0) size = (size + 63) & ~63u;
        size += xsave_[i].a;
    }
    return size;
}

CpuidRegisters CpuPolicy::xsave(uint32_t subleaf, const CpuidViewer& viewer) const {
    if (xcr0_ == 0 || subleaf >= kXsaveComponents) return {};
    if (subleaf == 0)
        return {static_cast<uint32_t>(xcr0_), xsave_size(viewer.xcr0), xsave_size(xcr0_),
                static_cast<uint32_t>(xcr0_ >> 32)};
    if (subleaf == 1) {
        const bool compacts = has(features_, feature::kXsavec);
        return {features_[word(FeatureWord::kD1Eax)], compacts ? compacted_size(viewer.xcr0) : 0, 0, 0};
    }
    return xsave_[subleaf];
}

}  // namespace torii::pv
