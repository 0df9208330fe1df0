#include "core/interrupt/config_ports.h"

#include "unit/core/interrupt/device_world.h"

namespace torii::test {
namespace {

constexpr unsigned kMsi = fakes::PciFunction::kMsi, kMsix = fakes::PciFunction::kMsix;

class ConfigPorts : public DeviceWorld {
protected:
    static uint32_t selector(unsigned reg) { return 1u << 31 | kDevice.devfn << 8 | (reg & 0xfc); }
    static void write(unsigned reg, unsigned width, uint32_t value) {
        const auto port = static_cast<uint16_t>(kPciDataPort + (reg & 3));
        ASSERT_TRUE(is_config_data(port, width));
        write_config_data(selector(reg), port, width, value);
    }
    uint32_t map_msi() { return device_interrupts.map_message(DomId(0), {.device = kDevice}).value(); }
};

TEST_F(ConfigPorts, TheMachineSeesNoAccessToTheDataPortAsItIs) {
    EXPECT_TRUE(is_config_data(0xcfc, 4));
    EXPECT_TRUE(is_config_data(0xcff, 1));
    EXPECT_TRUE(is_config_data(0xcfa, 4)) << "half of it";
    EXPECT_TRUE(is_config_data(0xcff, 2));
    EXPECT_FALSE(is_config_data(0xcf9, 1)) << "the reset register";
    EXPECT_FALSE(is_config_data(0xcf8, 4));
    EXPECT_FALSE(is_config_data(0xd00, 1));
}

TEST_F(ConfigPorts, WhatSelectsNothingOrIsNotAlignedReachesNobody) {
    fakes::PciFunction& function = fakes::devices().add(kDevice, {.msi_messages = 1});
    const uint32_t unselected = selector(0xc0) & ~(1u << 31);
    const unsigned writes = function.writes;
    write_config_data(unselected, 0xcfc, 4, 1);
    write_config_data(selector(0xc0), 0xcfd, 2, 1);
    write_config_data(selector(0xc0), 0xcfe, 4, 1);
    write_config_data(selector(0xc0), 0xcfa, 4, 1);
    EXPECT_EQ(function.writes, writes);
    EXPECT_EQ(read_config_data(unselected, 0xcfc, 4), ~0u);
    EXPECT_EQ(read_config_data(selector(0), 0xcfd, 2), 0xffffu);
    EXPECT_EQ(read_config_data(selector(0), 0xcfc, 2), 0x1234u);
}

TEST_F(ConfigPorts, WhatIsNotOfMessagesPasses) {
    fakes::PciFunction& function = fakes::devices().add(kDevice, {.msi_messages = 1});
    write(0x04, 2, 0x0507);
    EXPECT_EQ(function.read(0x04, 2), 0x0507u);
    write(0xc0, 4, 0x12345678);
    EXPECT_EQ(function.read(0xc0, 4), 0x12345678u);
    EXPECT_EQ(read_config_data(selector(0xc0), 0xcfe, 2), 0x1234u);
    EXPECT_EQ(read_config_data(1u << 31 | 0x9000, 0xcfc, 4), ~0u) << "nobody there";
}

TEST_F(ConfigPorts, AddressAndDataAreTheHypervisors) {
    fakes::PciFunction& function = fakes::devices().add(kDevice, {.msi_messages = 4});
    map_msi();
    const auto before = [&](unsigned at) { return function.read(kMsi + at, 4); };
    for (const unsigned at : {4u, 8u, 0xcu, 0x10u}) {
        for (const unsigned width : {1u, 2u, 4u}) {
            const uint32_t was = before(at);
            const unsigned writes = function.writes;
            write(kMsi + at, width, ~was);
            EXPECT_EQ(before(at), was) << at;
            EXPECT_EQ(function.writes, writes) << "not even with what is there: it may be about to change";
        }
    }
}

TEST_F(ConfigPorts, MsiIsSwitchedOnOnlyWhenItIsSetUp) {
    fakes::PciFunction& function = fakes::devices().add(kDevice, {.msi_messages = 4});
    write(kMsi + 2, 2, 0x0021);
    EXPECT_EQ(function.read(kMsi + 2, 2) & 0x71, 0u);
    const uint32_t pirq = map_msi();
    write(kMsi + 2, 2, 0x0021);
    EXPECT_EQ(function.read(kMsi + 2, 2) & 0x71, 1u) << "how many there are is the hypervisor's";
    write(kMsi, 4, 0);
    EXPECT_FALSE(function.msi_enabled());
    write(kMsi, 4, 0x10000);
    EXPECT_TRUE(function.msi_enabled());
    ASSERT_TRUE(device_interrupts.unmap(DomId(0), pirq).ok());
    EXPECT_FALSE(function.msi_enabled());
    write(kMsi + 2, 2, 1);
    EXPECT_FALSE(function.msi_enabled());
}

TEST_F(ConfigPorts, MsixIsSwitchedAndMaskedAsAWhole) {
    fakes::PciFunction& function = add_msix();
    // What somebody left in an entry must not be sent.
    fakes::devices().memory[function.entry(3).raw() + 12] = 0;
    write(kMsix + 2, 2, 0x8000);
    EXPECT_EQ(function.read(kMsix + 2, 2), 0xc007u) << "nothing is set up: on, and masked";
    ASSERT_TRUE(
        device_interrupts.map_message(DomId(0), {.device = kDevice, .kind = MessageKind::kMsiX, .index = 0})
            .ok());
    write(kMsix, 4, 0x80000000);
    EXPECT_TRUE(function.msix_enabled());
    EXPECT_FALSE(function.send_msix(3));
    EXPECT_EQ(function.read(kMsix + 4, 4), 0x800u | fakes::PciFunction::kTableBar);
    write(kMsix + 3, 1, 0);
    EXPECT_EQ(function.read(kMsix + 2, 2), 0x0007u);
}

}  // namespace
}  // namespace torii::test
