#include "arch/x86/pv/msr_policy.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

#include "cpuid_captures.h"
#include "msr_captures.h"

namespace torii::pv {
namespace {

CpuPolicy policy_of(std::span<const CpuidLeaf> leaves) {
    return CpuPolicy::make(HostCpuid::read([leaves](uint32_t leaf, uint32_t subleaf) {
                               for (const auto& entry : leaves) {
                                   if (entry.leaf == leaf && entry.subleaf == subleaf) return entry.value;
                               }
                               return CpuidRegisters{};
                           }),
                           {});
}

// What QEMU's CPU has in the registers that are passed through.
const std::map<uint32_t, uint64_t> kHostRegisters = {
    {0x1B, 0xFEE0'0900}, {0x8B, 0x0100'0065}, {0x1A0, 1},       {0xC001'0010, 0},
    {0xC001'0016, 0},    {0xC001'0017, 0},    {0xC001'0018, 0}, {0xC001'0019, 0},
    {0xC001'001A, 0},    {0xC001'001D, 0},    {0xC001'0112, 0}, {0xC001'0113, 0}};

template <class Visit>
void for_each_probed(const Visit& visit) {
    constexpr std::pair<uint32_t, uint32_t> kRanges[] = {{0, 0x1000},
                                                         {0xC000'0000, 0xC000'0400},
                                                         {0xC001'0000, 0xC001'0300},
                                                         {0xC001'1000, 0xC001'1100},
                                                         {0x4000'0000, 0x4000'0200}};
    for (const auto& [first, end] : kRanges) {
        for (uint32_t index = first; index < end; ++index)
            visit(index);
    }
}

void expect_as_under_xen(const CpuPolicy& policy, std::span<const test::MsrCapture> readable,
                         std::span<const uint32_t> takes_zero) {
    const MsrViewer viewer{.policy = &policy, .control_domain = true};
    std::map<uint32_t, uint64_t> expected;
    for (const auto& capture : readable)
        expected[capture.index] = capture.value;
    for_each_probed([&](uint32_t index) {
        const MsrReadAnswer answer = read_msr(index, viewer);
        EXPECT_EQ(answer.source != MsrSource::kFault, expected.contains(index)) << std::hex << index;
        if (answer.source == MsrSource::kValue) {
            EXPECT_EQ(answer.value, expected[index]) << std::hex << index;
        }
        if (answer.source == MsrSource::kHost) {
            ASSERT_TRUE(kHostRegisters.contains(index)) << std::hex << index;
            EXPECT_EQ((kHostRegisters.at(index) & answer.mask) | answer.value, expected[index])
                << std::hex << index;
        }
    });
    const std::set<uint32_t> takes(takes_zero.begin(), takes_zero.end());
    for_each_probed([&](uint32_t index) {
        // The bases and the hypercall page take zero too, but the capture left them out.
        if ((index >= kMsrFsBase && index <= kMsrKernelGsBase) || index == 0x4000'0000) return;
        EXPECT_EQ(write_msr(index, 0, viewer).sink != MsrSink::kFault, takes.contains(index))
            << std::hex << index;
    });
}

TEST(MsrPolicy, Qemu64AsUnderXen) {
    expect_as_under_xen(policy_of(test::kQemu64Host), test::kQemu64Readable, test::kQemu64TakesZero);
}

TEST(MsrPolicy, MaxAsUnderXen) {
    expect_as_under_xen(policy_of(test::kMaxHost), test::kMaxReadable, test::kMaxTakesZero);
}

class MsrRules : public testing::Test {
protected:
    CpuPolicy policy = policy_of(test::kMaxHost);
    MsrViewer viewer{.policy = &policy};
};

TEST_F(MsrRules, OtherDomainsDontReadTheMemoryMap) {
    for (const uint32_t index : {0xC001'0010, 0xC001'0016, 0xC001'001A, 0xC001'001D, 0xC001'0112}) {
        EXPECT_EQ(read_msr(index, viewer).source, MsrSource::kFault) << std::hex << index;
    }
}

TEST_F(MsrRules, ValuesThatAreRefused) {
    EXPECT_EQ(write_msr(kMsrEfer, 0xD01, viewer).sink, MsrSink::kDrop);
    EXPECT_EQ(write_msr(kMsrEfer, 0x501, viewer).sink, MsrSink::kFault);
    EXPECT_EQ(write_msr(kMsrPat, kGuestPat, viewer).sink, MsrSink::kFault);
    EXPECT_EQ(write_msr(0x140, 1, viewer).sink, MsrSink::kFault);
    EXPECT_EQ(write_msr(0x400, 5, viewer).sink, MsrSink::kDrop);
    EXPECT_EQ(write_msr(0x401, 5, viewer).sink, MsrSink::kFault);
    EXPECT_EQ(write_msr(0x1A0, 0x1234, viewer).sink, MsrSink::kDrop);
    EXPECT_EQ(write_msr(0x48, 0, viewer).sink, MsrSink::kFault);
    EXPECT_EQ(write_msr(kMsrTscAux, 0x1'0000'0000, viewer).sink, MsrSink::kFault);
    EXPECT_EQ(write_msr(kMsrTscAux, 0xFFFF'FFFF, viewer).sink, MsrSink::kTscAux);
    EXPECT_EQ(write_msr(0x4000'0000, 0x1000, viewer).sink, MsrSink::kHypercallPage);
    EXPECT_EQ(write_msr(0x4000'0000, 0x1001, viewer).sink, MsrSink::kFault);
}

TEST_F(MsrRules, Bases) {
    EXPECT_EQ(read_msr(kMsrFsBase, viewer).base, abi::SegmentBase::kFs);
    EXPECT_EQ(read_msr(kMsrGsBase, viewer).base, abi::SegmentBase::kGsKernel);
    EXPECT_EQ(write_msr(kMsrKernelGsBase, 0, viewer).base, abi::SegmentBase::kGsUser);
    for (const uint64_t good : {uint64_t{0}, 0x7FFF'FFFF'FFFFu, 0xFFFF'8000'0000'0000u, ~uint64_t{0}})
        EXPECT_EQ(write_msr(kMsrGsBase, good, viewer).sink, MsrSink::kSegmentBase) << good;
    for (const uint64_t bad : {0x8000'0000'0000u, 0x1'0000'0000'0000u, 0xFFFF'7FFF'FFFF'FFFFu})
        EXPECT_EQ(write_msr(kMsrGsBase, bad, viewer).sink, MsrSink::kFault) << bad;
}

TEST_F(MsrRules, OnlyTheFirstVcpuBootsTheMachine) {
    viewer.vcpu = 1;
    const auto answer = read_msr(0x1B, viewer);
    EXPECT_EQ((0xFEE0'0D00 & answer.mask) | answer.value, 0xFEE0'0800u);
}

TEST_F(MsrRules, VendorsKeepToTheirOwn) {
    std::vector<CpuidLeaf> intel(std::begin(test::kMaxHost), std::end(test::kMaxHost));
    for (auto& entry : intel) {
        if (entry.leaf == 0) entry.value = {0xD, 0x756E'6547, 0x6C65'746E, 0x4965'6E69};
    }
    const CpuPolicy other = policy_of(intel);
    EXPECT_EQ(read_msr(0x3A, {.policy = &other}).value, 1u);
    EXPECT_EQ(read_msr(0xC001'0000, {.policy = &other}).source, MsrSource::kFault);
    EXPECT_EQ(read_msr(0x3A, viewer).source, MsrSource::kFault);
}

}  // namespace
}  // namespace torii::pv
