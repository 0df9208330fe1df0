#include "xen/handshake.h"

#include <gtest/gtest.h>
#include <torii/failure.h>

#include "unit/dom0/kit/fake_hypervisor.h"

namespace torii::dom0 {
namespace {

TEST(Handshake, OneRevisionNeedsNoWords) {
    test::FakeHypervisor fake;
    Hypervisor hypervisor(fake);
    EXPECT_EQ(shake_hands(hypervisor, fake.changeset), "");
}

TEST(Handshake, AnOlderHypervisorWorksAndIsTold) {
    test::FakeHypervisor fake;
    fake.changeset = "older";
    Hypervisor hypervisor(fake);
    const std::string remark = shake_hands(hypervisor, "newer");
    EXPECT_NE(remark.find("older"), std::string::npos);
    EXPECT_NE(remark.find("newer"), std::string::npos);
    EXPECT_NE(remark.find("next boot"), std::string::npos);
}

TEST(Handshake, XenIsNotExpectedToBeOfOurRevision) {
    test::FakeHypervisor fake;
    fake.extra_version = ".7";
    Hypervisor hypervisor(fake);
    EXPECT_EQ(shake_hands(hypervisor, "anything"), "");
}

// Working on with another control interface could destroy what it does not understand.
TEST(Handshake, AnotherControlInterfaceIsRefused) {
    test::FakeHypervisor fake;
    fake.other_control_interface = true;
    Hypervisor hypervisor(fake);
    try {
        shake_hands(hypervisor, "newer");
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.code(), ErrorCode::kNotSupported);
        EXPECT_NE(std::string(failure.what()).find("Reboot"), std::string::npos);
    }
}

}  // namespace
}  // namespace torii::dom0
