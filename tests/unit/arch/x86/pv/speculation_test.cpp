#include "arch/x86/pv/speculation.h"

#include <gtest/gtest.h>

namespace torii::pv {
namespace {

// As leaf 0 spells them: EBX, EDX, ECX.
constexpr CpuidRegisters kIntel{7, 0x756e6547, 0x6c65746e, 0x49656e69};
constexpr CpuidRegisters kAmd{7, 0x68747541, 0x444d4163, 0x69746e65};
constexpr CpuidRegisters kHygon{7, 0x6f677948, 0x656e6975, 0x6e65476e};
constexpr CpuidRegisters kUnheardOf{7, 0x756e6547, 0x6c65746e, 0};
constexpr uint32_t kSkylake = 0x000506e3;
constexpr uint32_t kBonnell = 0x000106ca;  // an in-order Atom
constexpr uint32_t kIbpbInLeaf7 = 1u << 26;
constexpr uint32_t kIbpbInLeaf80000008 = 1u << 12;

HostCpuid cpu(const CpuidRegisters& vendor, uint32_t signature, uint32_t leaf7_d = 0, uint32_t amd_b = 0) {
    HostCpuid host;
    host.add(0, 0, vendor);
    host.add(1, 0, {signature, 0, 0, 0});
    host.add(7, 0, {0, 0, 0, leaf7_d});
    host.add(0x80000008, 0, {0, amd_b, 0, 0});
    return host;
}

TEST(SpeculationFacts, FollowVendorModelAndTheCpusOwnWord) {
    const SpeculationFacts intel = speculation_facts(cpu(kIntel, kSkylake), 0);
    EXPECT_TRUE(intel.meltdown);
    EXPECT_TRUE(intel.l1tf);
    const SpeculationFacts mended = speculation_facts(cpu(kIntel, kSkylake), kArchCapabilitiesRdclNo);
    EXPECT_FALSE(mended.meltdown);
    EXPECT_FALSE(mended.l1tf);
    EXPECT_FALSE(speculation_facts(cpu(kIntel, kBonnell), 0).meltdown);
    for (const CpuidRegisters& vendor : {kAmd, kHygon}) {
        EXPECT_FALSE(speculation_facts(cpu(vendor, 0x00800f12), 0).meltdown);
        EXPECT_FALSE(speculation_facts(cpu(vendor, 0x00800f12), 0).l1tf);
    }
    EXPECT_TRUE(speculation_facts(cpu(kUnheardOf, 0), 0).meltdown) << "not known to be safe";
}

TEST(SpeculationFacts, BarrierIsOfferedInEitherLeaf) {
    EXPECT_FALSE(speculation_facts(cpu(kAmd, 0), 0).prediction_barrier);
    EXPECT_TRUE(speculation_facts(cpu(kAmd, 0, 0, kIbpbInLeaf80000008), 0).prediction_barrier);
    EXPECT_TRUE(speculation_facts(cpu(kIntel, kSkylake, kIbpbInLeaf7), 0).prediction_barrier);
    EXPECT_TRUE(has_arch_capabilities(cpu(kIntel, kSkylake, 1u << 29)));
    EXPECT_FALSE(has_arch_capabilities(cpu(kIntel, kSkylake)));
}

SpeculationPlan planned(bool open, bool (*read)(std::string_view, SpeculationWishes&),
                        std::string_view value) {
    SpeculationWishes wishes;
    EXPECT_TRUE(read(value, wishes)) << value;
    return plan_speculation({open, open, true}, wishes);
}

TEST(SpeculationOptions, XptiAndL1tfFollowTheCpuUnlessTold) {
    EXPECT_TRUE(planned(true, read_xpti, "default").isolate_guests);
    EXPECT_FALSE(planned(false, read_xpti, "default").isolate_guests);
    EXPECT_TRUE(planned(false, read_xpti, "").isolate_guests);
    EXPECT_TRUE(planned(false, read_xpti, "yes").isolate_guests);
    EXPECT_FALSE(planned(true, read_xpti, "no").isolate_guests);
    EXPECT_TRUE(planned(false, read_xpti, "dom0=no,domu=yes").isolate_guests) << "on for one is on for all";
    EXPECT_FALSE(planned(true, read_xpti, "no-dom0,domu=off").isolate_guests);
    EXPECT_TRUE(planned(true, read_pv_l1tf, "default").refuse_l1tf);
    EXPECT_FALSE(planned(true, read_pv_l1tf, "0").refuse_l1tf);
    EXPECT_TRUE(planned(false, read_pv_l1tf, "domu").refuse_l1tf);
}

TEST(SpeculationOptions, SpecCtrlSwitchesAllOrOne) {
    const SpeculationPlan none = planned(true, read_spec_ctrl, "no");
    EXPECT_FALSE(none.isolate_guests || none.refuse_l1tf || none.prediction_barrier);
    const SpeculationPlan all_but_one = planned(true, read_spec_ctrl, "ibpb=no");
    EXPECT_TRUE(all_but_one.isolate_guests && all_but_one.refuse_l1tf);
    EXPECT_FALSE(all_but_one.prediction_barrier);
    EXPECT_FALSE(planned(true, read_spec_ctrl, "no-ibpb").prediction_barrier);
    EXPECT_TRUE(planned(true, read_spec_ctrl, "yes").prediction_barrier);
}

TEST(SpeculationOptions, UnknownWordsAreTold) {
    SpeculationWishes wishes;
    EXPECT_FALSE(read_spec_ctrl("ibpb=no,bti-thunk=lfence", wishes));
    EXPECT_EQ(wishes.prediction_barrier, Wish::kOff) << "the others are followed";
    EXPECT_FALSE(read_xpti("perhaps", wishes));
    EXPECT_FALSE(read_pv_l1tf("dom0=perhaps", wishes));
    EXPECT_EQ(wishes.refuse_l1tf, Wish::kByCpu);
}

TEST(SpeculationOptions, ABarrierThatTheCpuLacksIsNotAskedFor) {
    SpeculationWishes wishes;
    wishes.prediction_barrier = Wish::kOn;
    EXPECT_FALSE(plan_speculation({false, false, false}, wishes).prediction_barrier);
}

}  // namespace
}  // namespace torii::pv
