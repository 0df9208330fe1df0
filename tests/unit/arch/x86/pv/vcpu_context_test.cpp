// What a vCPU starts with, and what is told of it, as the control domain and its own domain give it.
#include "arch/x86/pv/vcpu_context.h"

#include <gtest/gtest.h>

#include <memory>

#include "arch/x86/pv/guest_context.h"
#include "kit/hosted_domain.h"

namespace torii::test {
namespace {

constexpr uint64_t kIopl1 = 1u << 12;

TEST(VcpuContext, IoPrivilegeComesWithTheFlagsAndIsNotInForce) {
    HostedDomain guest{1, 1};
    const auto context = std::make_unique<abi::VcpuGuestContext>();
    context->flags = abi::kVgcfInKernel;
    context->ctrlreg[3] = abi::cr3_from_mfn(guest.table(4).raw());
    context->user_regs.rflags = kIopl1 | pv::kFlagCarry;
    ASSERT_TRUE(pv::set_vcpu_context(guest.vcpu(), *context).ok());
    EXPECT_EQ(guest.vcpu().pv.iopl, 1u) << "Linux gives its further vCPUs their I/O privilege in this way";
    EXPECT_EQ(guest.vcpu().pv.registers->rflags & pv::kFlagIopl, 0u) << "ring 3 must not have the CPU's own";
    EXPECT_NE(guest.vcpu().pv.registers->rflags & pv::kFlagCarry, 0u);

    const auto told = std::make_unique<abi::VcpuGuestContext>();
    pv::save_guest_context(guest.vcpu(), *told);
    EXPECT_EQ(told->user_regs.rflags & pv::kFlagIopl, kIopl1);
}

}  // namespace
}  // namespace torii::test
