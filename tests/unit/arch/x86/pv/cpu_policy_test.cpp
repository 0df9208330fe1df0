#include "arch/x86/pv/cpu_policy.h"

#include <gtest/gtest.h>

#include <vector>

#include "cpuid_captures.h"

namespace torii::pv {
namespace {

HostCpuid host_of(std::span<const CpuidLeaf> leaves) {
    return HostCpuid::read([leaves](uint32_t leaf, uint32_t subleaf) {
        for (const auto& entry : leaves) {
            if (entry.leaf == leaf && entry.subleaf == subleaf) return entry.value;
        }
        return CpuidRegisters{};
    });
}

CpuidRegisters find(std::span<const CpuidLeaf> leaves, uint32_t leaf, uint32_t subleaf) {
    for (const auto& entry : leaves) {
        if (entry.leaf == leaf && entry.subleaf == subleaf) return entry.value;
    }
    return {};
}

std::string text(const CpuidRegisters& r) {
    char buffer[64];
    std::snprintf(buffer, sizeof(buffer), "%08x %08x %08x %08x", r.a, r.b, r.c, r.d);
    return buffer;
}

// Every leaf that was asked for under Xen, and those around it.
std::vector<std::pair<uint32_t, uint32_t>> probed() {
    std::vector<std::pair<uint32_t, uint32_t>> list;
    for (uint32_t leaf = 0; leaf <= 0x25; ++leaf) {
        for (uint32_t subleaf = 0; subleaf < (leaf == 0xD ? 64 : 8); ++subleaf)
            list.emplace_back(leaf, subleaf);
    }
    for (uint32_t leaf = 0x4000'0000; leaf <= 0x4000'0006; ++leaf) {
        for (uint32_t subleaf = 0; subleaf < 3; ++subleaf)
            list.emplace_back(leaf, subleaf);
    }
    for (uint32_t leaf = 0x8000'0000; leaf <= 0x8000'0026; ++leaf)
        list.emplace_back(leaf, 0);
    for (const uint32_t leaf : {0x4000'0100u, 0x7FFF'FFFFu, 0x8086'0000u, 0xC000'0000u, 0xFFFF'FFFFu})
        list.emplace_back(leaf, 0);
    return list;
}

bool has_subleaves(uint32_t leaf) {
    return leaf == 4 || leaf == 7 || leaf == 0xB || leaf == 0xD || (leaf & 0xFFFF'FF00) == 0x4000'0000;
}

void expect_as_under_xen(std::span<const CpuidLeaf> host, std::span<const CpuidLeaf> xen,
                         bool control_domain) {
    PolicyOptions options;
    options.control_domain = control_domain;
    options.machine_address_bits = 30;
    const CpuPolicy policy = CpuPolicy::make(host_of(host), options);
    CpuidViewer viewer;
    viewer.kernel_mode = false;
    viewer.xcr0 = 7;
    viewer.host_tsc_khz = find(xen, 0x4000'0003, 2).a;
    for (const auto& [leaf, subleaf] : probed()) {
        if (subleaf != 0 && !has_subleaves(leaf)) continue;
        EXPECT_EQ(text(policy.query(leaf, subleaf, viewer)), text(find(xen, leaf, subleaf)))
            << std::hex << leaf << "." << subleaf;
    }
}

// A process of the control domain sees what it sees under Xen, leaf by leaf; other domains see the same.
TEST(CpuPolicy, Qemu64AsUnderXen) {
    expect_as_under_xen(test::kQemu64Host, test::kQemu64UnderXen, true);
    expect_as_under_xen(test::kQemu64Host, test::kQemu64UnderXen, false);
}

TEST(CpuPolicy, MaxAsUnderXen) {
    expect_as_under_xen(test::kMaxHost, test::kMaxUnderXen, true);
    expect_as_under_xen(test::kMaxHost, test::kMaxUnderXen, false);
}

TEST(CpuPolicy, OnlyTheControlDomainsKernelSeesMtrr) {
    PolicyOptions options;
    options.control_domain = true;
    const CpuPolicy policy = CpuPolicy::make(host_of(test::kQemu64Host), options);
    EXPECT_EQ(policy.query(1, 0, {}).d, 0x0789'D3F5u);  // as under Xen
    EXPECT_EQ(policy.query(1, 0, {.kernel_mode = false}).d, 0x0789'C3F5u);
    options.control_domain = false;
    EXPECT_EQ(CpuPolicy::make(host_of(test::kQemu64Host), options).query(1, 0, {}).d, 0x0789'C3F5u);
}

TEST(CpuPolicy, EachVcpuHasItsApicId) {
    const CpuPolicy policy = CpuPolicy::make(host_of(test::kQemu64Host), {});
    EXPECT_EQ(policy.query(1, 0, {.vcpu = 0}).b, 0x0000'0800u);
    EXPECT_EQ(policy.query(1, 0, {.vcpu = 3}).b, 0x0600'0800u);
}

// A server CPU with everything, as Intel's manuals lay the leaves out.
std::vector<CpuidLeaf> big_intel() {
    const uint32_t all = ~0u;
    return {
        {0, 0, {0x20, 0x756E'6547, 0x6C65'746E, 0x4965'6E69}},
        {1, 0, {0x000A'06F3, 0x1020'0800, all, all}},
        {2, 0, {0x00FE'FF01, 0xF0, 0, 0}},
        {4, 0, {0x7C00'4121, 0x02C0'003F, 0x3F, 0}},
        {4, 1, {0x7C00'4122, 0x01C0'003F, 0x3F, 0}},
        {4, 2, {0x7C00'4143, 0x03C0'003F, 0x7FF, 0}},
        {4, 3, {0x7C0F'C163, 0x0380'003F, 0xFFFF, 4}},
        {5, 0, {0x40, 0x40, 3, 0x2120}},
        {6, 0, {0xDFCFF7, 2, 9, 0}},
        {7, 0, {2, all, all, all}},
        {7, 1, {all, all, all, all}},
        {7, 2, {0, 0, 0, all}},
        {0xB, 0, {1, 2, 0x100, 0x10}},
        {0xD, 0, {0x602E7, 0x2B00, 0x2B00, 0}},
        {0xD, 1, {0x1F, 0x2700, 0x1900, 0}},
        {0xD, 2, {0x100, 0x240, 0, 0}},
        {0xD, 5, {0x40, 0x440, 0, 0}},
        {0xD, 6, {0x200, 0x480, 0, 0}},
        {0xD, 7, {0x400, 0x680, 0, 0}},
        {0x8000'0000, 0, {0x8000'0008, 0, 0, 0}},
        {0x8000'0001, 0, {0, 0, all, all}},
        {0x8000'0002, 0, {1, 2, 3, 4}},
        {0x8000'0006, 0, {0, 0, 0x0100'7040, 0}},
        {0x8000'0007, 0, {0, 0, 0, 0x100}},
        {0x8000'0008, 0, {0x0030'3934, all, 0x00FF'FFFF, 5}},
    };
}

TEST(CpuPolicy, HidesWhatCantBeKept) {
    for (const bool control_domain : {false, true}) {
        PolicyOptions options;
        options.control_domain = control_domain;
        const CpuPolicy policy = CpuPolicy::make(host_of(big_intel()), options);
        const auto bit = [&](uint32_t value, unsigned n) { return (value >> n & 1) != 0; };
        const CpuidRegisters leaf1 = policy.query(1, 0, {}), leaf7 = policy.query(7, 0, {});
        for (const unsigned n : {3u, 5u, 6u, 7u, 15u, 17u, 21u, 24u})
            EXPECT_FALSE(bit(leaf1.c, n)) << n;
        for (const unsigned n : {1u, 3u, 13u, 17u, 21u, 29u, 31u})
            EXPECT_FALSE(bit(leaf1.d, n)) << n;
        for (const unsigned n : {1u, 2u, 4u, 7u, 10u, 11u, 14u, 20u, 25u})
            EXPECT_FALSE(bit(leaf7.b, n)) << n;
        for (const unsigned n : {2u, 3u, 4u, 7u, 16u, 29u, 31u})
            EXPECT_FALSE(bit(leaf7.c, n)) << n;
        for (const unsigned n : {5u, 16u, 20u, 22u, 24u, 25u, 26u, 27u, 28u, 29u, 31u})
            EXPECT_FALSE(bit(leaf7.d, n)) << n;
        EXPECT_TRUE(bit(leaf1.c, 31)) << "hypervisor";
        EXPECT_TRUE(bit(leaf1.c, 27)) << "OSXSAVE";
        EXPECT_TRUE(bit(leaf1.d, 11)) << "sysenter works on Intel";
        EXPECT_TRUE(bit(leaf7.b, 16)) << "AVX-512";
        EXPECT_TRUE(bit(leaf7.b, 0)) << "FSGSBASE";
        EXPECT_EQ(policy.query(0, 0, {}).a, 0xDu);
        EXPECT_EQ(policy.query(0xD, 0, {}).a, 0xE7u);
        EXPECT_EQ(policy.query(0xD, 0, {}).c, 0xA80u);
        EXPECT_EQ(policy.query(0xD, 1, {}).a, 7u);
        EXPECT_EQ(policy.query(0xD, 1, {}).c, 0u);
        EXPECT_EQ(policy.query(0xD, 9, {}), CpuidRegisters{});
        EXPECT_EQ(policy.query(0xD, 17, {}), CpuidRegisters{});
        EXPECT_EQ(policy.query(5, 0, {}), CpuidRegisters{});
        EXPECT_EQ(policy.query(0xB, 0, {}), CpuidRegisters{});
        EXPECT_EQ(policy.query(0x8000'0008, 0, {}).a & 0xFFFF, 0x3034u);
        EXPECT_EQ(bit(policy.query(0x8000'0007, 0, {}).d, 8), control_domain);
        EXPECT_EQ(policy.query(0x8000'0001, 0, {}).d & 0x0183'F3FF, 0u) << "the repeated bits are AMD's";
    }
}

TEST(CpuPolicy, DomainsHaveNoSiblings) {
    const CpuPolicy policy = CpuPolicy::make(host_of(big_intel()), {});
    EXPECT_EQ(policy.query(1, 0, {.vcpu = 1}).b, 0x0200'0800u);
    EXPECT_EQ(policy.query(1, 0, {}).d >> 28 & 1, 0u);
    EXPECT_EQ(policy.query(4, 3, {}).a, 0x163u);
    EXPECT_EQ(policy.query(4, 4, {}), CpuidRegisters{});
    PolicyOptions options;
    options.control_domain = true;
    EXPECT_EQ(CpuPolicy::make(host_of(big_intel()), options).query(4, 3, {}).a, 0x7C0F'C163u);
}

TEST(CpuPolicy, XsaveSizesFollowTheCurrentXcr0) {
    const CpuPolicy policy = CpuPolicy::make(host_of(big_intel()), {});
    EXPECT_EQ(policy.query(0xD, 0, {.xcr0 = 1}).b, 0x240u);
    EXPECT_EQ(policy.query(0xD, 0, {.xcr0 = 7}).b, 0x340u);
    EXPECT_EQ(policy.query(0xD, 0, {.xcr0 = 0xE7}).b, 0xA80u);
    EXPECT_EQ(policy.query(0xD, 1, {.xcr0 = 0xE7}).b, 0x240u + 0x100 + 0x40 + 0x200 + 0x400);
}

TEST(CpuPolicy, WithoutXsaveNothingThatNeedsIt) {
    PolicyOptions options;
    options.xcr0 = 0;
    const CpuPolicy none = CpuPolicy::make(host_of(big_intel()), options);
    EXPECT_EQ(none.xcr0(), 0u);
    EXPECT_EQ(none.query(1, 0, {}).c & (1u << 26 | 1u << 27 | 1u << 28 | 1u << 29 | 1u << 12), 0u);
    EXPECT_EQ(none.query(7, 0, {}).b & (1u << 5 | 1u << 16 | 1u << 31), 0u);
    EXPECT_EQ(none.query(0xD, 0, {}), CpuidRegisters{});
    options.xcr0 = 7;
    const CpuPolicy avx = CpuPolicy::make(host_of(big_intel()), options);
    EXPECT_EQ(avx.xcr0(), 7u);
    EXPECT_NE(avx.query(7, 0, {}).b & 1u << 5, 0u);
    EXPECT_EQ(avx.query(7, 0, {}).b & 0xD43F'0000 & (1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31),
              0u);
    options.xcr0 = 0x27;  // a part of AVX-512 only
    EXPECT_EQ(CpuPolicy::make(host_of(big_intel()), options).xcr0(), 3u);
}

TEST(CpuPolicy, TimeLeaf) {
    const CpuPolicy policy = CpuPolicy::make(host_of(test::kMaxHost), {});
    CpuidViewer viewer;
    viewer.host_tsc_khz = 2'300'000;
    viewer.tsc = {.mode = 2,
                  .guest_khz = 2'300'001,
                  .incarnation = 1,
                  .offset = 0x1'FA4C'AFF6,
                  .multiplier = 0xDE9B'D9D2,
                  .shift = -1};
    EXPECT_EQ(text(policy.query(0x4000'0003, 0, viewer)), "00000004 00000002 00231861 00000001");
    EXPECT_EQ(text(policy.query(0x4000'0003, 1, viewer)), "fa4caff6 00000001 de9bd9d2 ffffffff");
    EXPECT_EQ(policy.query(0x4000'0003, 2, viewer).a, 2'300'000u);
}

TEST(CpuPolicy, LfenceIsSaidToSerialiseOnlyWhereItDoes) {
    std::vector<CpuidLeaf> zen(std::begin(test::kMaxHost), std::end(test::kMaxHost));
    for (auto& entry : zen) {
        if (entry.leaf == 1) entry.value.a = 0x0083'0F10;  // family 17h
    }
    EXPECT_FALSE(lfence_serialises(host_of(zen)));
    EXPECT_EQ(CpuPolicy::make(host_of(zen), {}).query(0x8000'0000, 0, {}).a, 0x8000'0008u);
    PolicyOptions options;
    options.lfence_made_serialising = true;
    EXPECT_EQ(CpuPolicy::make(host_of(zen), options).query(0x8000'0021, 0, {}).a, 4u);
    EXPECT_TRUE(lfence_serialises(host_of(big_intel())));
    EXPECT_EQ(CpuPolicy::make(host_of(big_intel()), {}).query(0x8000'0000, 0, {}).a, 0x8000'0008u);
}

TEST(CpuPolicy, Signatures) {
    EXPECT_EQ(signature_of({0x0006'0FB1, 0, 0, 0}).family, 0xFu);
    EXPECT_EQ(signature_of({0x0006'0FB1, 0, 0, 0}).model, 0x6Bu);
    EXPECT_EQ(signature_of({0x0083'0F10, 0, 0, 0}).family, 0x17u);
    EXPECT_EQ(signature_of({0x0083'0F10, 0, 0, 0}).model, 0x31u);
    EXPECT_EQ(signature_of({0x0005'0657, 0, 0, 0}).model, 0x55u);
}

// The table leaves no bit to chance: whatever a CPU may have, what is offered is what a row names.
TEST(CpuPolicy, UnknownBitsAreHidden) {
    const FeatureMasks& masks = kFeatureMasks;
    EXPECT_EQ(
        masks.accept[static_cast<unsigned>(FeatureWord::k1Edx)] & (1u << 10 | 1u << 18 | 1u << 20 | 1u << 30),
        0u);
    EXPECT_EQ(masks.accept[static_cast<unsigned>(FeatureWord::k7Sub1Eax)] & 0xFFFF'E3CF, 0u);
}

}  // namespace
}  // namespace torii::pv
