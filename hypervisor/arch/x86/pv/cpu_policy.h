// What CPUID says to a PV guest: one answer for every leaf, made once from what the host's CPUID said.
//
// Rule: what is advertised works, in the guest's kernel and in its processes. Processes can't be stopped from
// asking the CPU itself where it has no CPUID faulting, so hiding a feature protects nothing; it keeps honest
// software off.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "arch/x86/pv/cpu_features.h"
#include "arch/x86/pv/emulate.h"

namespace torii::pv {

struct CpuidLeaf {
    uint32_t leaf = 0;
    uint32_t subleaf = 0;  // zero for leaves without
    CpuidRegisters value;
};

// The host's answers, for the leaves that a policy is made of. Filled at boot by the CPU, in tests from a
// capture.
class HostCpuid {
public:
    // `cpuid(leaf, subleaf)` returns CpuidRegisters.
    template <class Read>
    static HostCpuid read(const Read& cpuid);

    [[nodiscard]] CpuidRegisters find(uint32_t leaf, uint32_t subleaf = 0) const;
    void add(uint32_t leaf, uint32_t subleaf, const CpuidRegisters& value);
    [[nodiscard]] std::span<const CpuidLeaf> leaves() const { return {leaves_.data(), count_}; }

private:
    std::array<CpuidLeaf, 64> leaves_;
    uint32_t count_ = 0;
};

enum class CpuVendor : uint8_t { kIntel, kAmd, kHygon, kOther };
[[nodiscard]] CpuVendor vendor_of(const CpuidRegisters& leaf0);

// Family and model with their extensions added (Intel SDM volume 2, CPUID; AMD APM volume 3, E.3.2).
struct CpuSignature {
    unsigned family;
    unsigned model;
    unsigned stepping;
};
[[nodiscard]] CpuSignature signature_of(const CpuidRegisters& leaf1);

// Whether LFENCE always waits for older instructions: architectural on Intel; on AMD in families 0Fh and 11h,
// or where the CPU says so. Elsewhere the hypervisor must set it (MSR C001_1029 bit 1) and say so in
// PolicyOptions.
[[nodiscard]] bool lfence_serialises(const HostCpuid& host);

struct PolicyOptions {
    bool control_domain = false;
    bool fsgsbase = true;  // the hypervisor runs with CR4.FSGSBASE where the host has it
    bool lfence_made_serialising = false;
    bool invariant_tsc_for_guests = false;  // also tell others than the control domain
    uint64_t xcr0 = 0xE7;                   // components that are context-switched
    uint8_t machine_address_bits = 36;      // of the highest machine address, hot-plugged memory included
};

// Leaf 0x40000003: how a domain's TSC relates to time. Zeros for the control domain, as Xen has it.
struct TscInfo {
    uint32_t mode = 0;  // 0 default, 1 always emulated, 2 native
    uint32_t guest_khz = 0;
    uint32_t incarnation = 0;
    uint64_t offset = 0;
    uint32_t multiplier = 0;
    int32_t shift = 0;
    bool emulated = false;
};

// Who asks.
struct CpuidViewer {
    bool kernel_mode = true;
    uint32_t vcpu = 0;
    uint64_t xcr0 = 1;
    uint32_t host_tsc_khz = 0;
    TscInfo tsc{};
};

class CpuPolicy {
public:
    static CpuPolicy make(const HostCpuid& host, const PolicyOptions& options);

    [[nodiscard]] CpuidRegisters query(uint32_t leaf, uint32_t subleaf, const CpuidViewer& viewer) const;

    [[nodiscard]] const FeatureSet& features() const { return features_; }
    [[nodiscard]] uint64_t xcr0() const { return xcr0_; }  // what the guest may enable; zero: no XSAVE
    [[nodiscard]] CpuVendor vendor() const { return vendor_; }
    [[nodiscard]] CpuSignature signature() const { return signature_of(basic_[1]); }

    // Bytes of the standard-format XSAVE area for a valid XCR0 value.
    [[nodiscard]] uint32_t xsave_size(uint64_t xcr0) const;

private:
    static constexpr unsigned kBasicLeaves = 8;      // 0 to 7
    static constexpr unsigned kExtendedLeaves = 9;   // 80000000 to 80000008
    static constexpr unsigned kCacheSubleaves = 5;   // of leaf 4
    static constexpr unsigned kXsaveComponents = 8;  // 0 to 7: all that is ever offered

    void make_features(const HostCpuid& host, const PolicyOptions& options);
    void make_basic(const HostCpuid& host, const PolicyOptions& options);
    void make_extended(const HostCpuid& host);
    [[nodiscard]] CpuidRegisters basic(uint32_t leaf, uint32_t subleaf, const CpuidViewer& viewer) const;
    [[nodiscard]] CpuidRegisters extended(uint32_t leaf, const CpuidViewer& viewer) const;
    [[nodiscard]] CpuidRegisters hypervisor(uint32_t leaf, uint32_t subleaf, const CpuidViewer& viewer) const;
    [[nodiscard]] CpuidRegisters xsave(uint32_t subleaf, const CpuidViewer& viewer) const;
    [[nodiscard]] uint32_t compacted_size(uint64_t xcr0) const;

    FeatureSet features_{};
    FeatureSet kernel_features_{};  // seen by the control domain's kernel on top
    CpuVendor vendor_ = CpuVendor::kOther;
    bool control_domain_ = false;
    uint8_t machine_address_bits_ = 0;
    uint64_t xcr0_ = 0;
    std::array<CpuidRegisters, kBasicLeaves> basic_{};
    std::array<CpuidRegisters, kExtendedLeaves> extended_{};
    std::array<CpuidRegisters, kCacheSubleaves> caches_{};
    std::array<CpuidRegisters, kXsaveComponents> xsave_{};  // from 2 on: size, offset, flags
};

template <class Read>
HostCpuid HostCpuid::read(const Read& cpuid) {
    HostCpuid host;
    const auto take = [&](uint32_t first, uint32_t leaf, uint32_t subleaves) {
        if (leaf > host.find(first).a) return;
        for (uint32_t subleaf = 0; subleaf < subleaves; ++subleaf)
            host.add(leaf, subleaf, cpuid(leaf, subleaf));
    };
    host.add(0, 0, cpuid(0u, 0u));
    take(0, 1, 1);
    take(0, 2, 1);
    take(0, 4, 5);
    take(0, 5, 1);
    take(0, 6, 1);
    take(0, 7, 3);
    take(0, 0xD, 8);
    take(0, 0x15, 1);
    take(0, 0x16, 1);
    constexpr uint32_t kExtended = 0x8000'0000;
    host.add(kExtended, 0, cpuid(kExtended, 0u));
    for (uint32_t leaf = kExtended + 1; leaf <= kExtended + 8; ++leaf)
        take(kExtended, leaf, 1);
    take(kExtended, kExtended + 0xA, 1);
    take(kExtended, kExtended + 0x21, 1);
    return host;
}

}  // namespace torii::pv
