#include "core/interrupt/interrupts.h"

#include "fakes/fake_tlb.h"
#include "unit/core/interrupt/device_world.h"

namespace torii::test {
namespace {

constexpr DomId kControl{0};

class DeviceInterruptsTest : public DeviceWorld {
protected:
    uint32_t map_entry(unsigned index) {
        return device_interrupts
            .map_message(kControl, {.device = kDevice, .kind = MessageKind::kMsiX, .index = index})
            .value();
    }
    // The domain's view of MSI-X: on.
    static void switch_on(fakes::PciFunction& function) {
        function.write(fakes::PciFunction::kMsix + 2, 2, 0x8000);
    }
};

TEST_F(DeviceInterruptsTest, ALevelComesAgainOnlyAfterItsEnd) {
    (void)device_interrupts.describe_line(20, true, true);  // EEXIST: an earlier test did
    ASSERT_TRUE(device_interrupts.map_line(kControl, 20).ok());
    EXPECT_TRUE(line(20).masked) << "nobody listens";
    const Port port = bind(20);
    EXPECT_TRUE(line(20).route.level && line(20).route.active_low);
    fakes::devices().assert_line(20);
    EXPECT_TRUE(take_event(port));
    EXPECT_TRUE(line(20).masked);
    // One that had come before the mask was in force.
    fakes::devices().arrive(line(20).route.cpu, line(20).route.vector);
    EXPECT_FALSE(take_event(port));
    ASSERT_TRUE(device_interrupts.end_of(kControl, 20).ok());
    EXPECT_FALSE(line(20).masked);
    fakes::devices().pulse(20);
    EXPECT_TRUE(take_event(port)) << "the device wanted something still";
    EXPECT_TRUE(device_interrupts.needs_end(kControl, 20).value());
    EXPECT_EQ(fakes::devices().lost, 0u);
}

TEST_F(DeviceInterruptsTest, AnEdgeIsNeverMasked) {
    (void)device_interrupts.describe_line(1, false, false);  // EEXIST: an earlier test did
    ASSERT_TRUE(device_interrupts.map_line(kControl, 1).ok());
    const Port port = bind(1);
    for (int i = 0; i < 3; ++i) {
        fakes::devices().assert_line(1);
        EXPECT_FALSE(line(1).masked);
        EXPECT_TRUE(take_event(port));
    }
    EXPECT_FALSE(device_interrupts.needs_end(kControl, 1).value());
    EXPECT_TRUE(device_interrupts.end_of(kControl, 1).ok()) << "said in vain";
}

TEST_F(DeviceInterruptsTest, ALineIsDescribedOnceAndNotWhileInUse) {
    (void)device_interrupts.describe_line(21, true, false);  // EEXIST: an earlier test did
    EXPECT_EQ(device_interrupts.describe_line(21, true, false).error(), Errno::kEEXIST);
    EXPECT_TRUE(device_interrupts.describe_line(21, false, false).ok());
    ASSERT_TRUE(device_interrupts.map_line(kControl, 21).ok());
    ASSERT_TRUE(device_interrupts.describe_line(21, true, true).ok());
    EXPECT_TRUE(line(21).route.level && line(21).route.active_low);
    bind(21);
    EXPECT_EQ(device_interrupts.describe_line(21, false, true).error(), Errno::kEBUSY);
    EXPECT_EQ(device_interrupts.describe_line(99, false, true).error(), Errno::kEINVAL);
}

// A kernel maps what there may be, without a word; it doesn't get the hypervisor's serial line for that.
TEST_F(DeviceInterruptsTest, TheHypervisorsOwnLineIsLeftAlone) {
    constexpr uint32_t kOwn = fakes::Devices::kReservedLine;
    const LineRoute route{CpuId(3), 0xe0, false, false};
    set_up_line(kOwn, route);
    mask_line(kOwn, false);
    EXPECT_EQ(device_interrupts.describe_line(kOwn, true, true).error(), Errno::kEEXIST);
    EXPECT_TRUE(device_interrupts.map_line(kControl, kOwn).ok());
    EXPECT_EQ(device_interrupts.bind(control().events, kOwn).error(), Errno::kEBUSY);
    EXPECT_TRUE(device_interrupts.end_of(kControl, kOwn).ok());
    EXPECT_TRUE(device_interrupts.unmap(kControl, kOwn).ok());
    EXPECT_EQ(line(kOwn).route.vector, route.vector);
    EXPECT_FALSE(line(kOwn).masked);
}

TEST_F(DeviceInterruptsTest, WhatIsNotMappedIsNotBound) {
    EXPECT_EQ(device_interrupts.bind(control().events, 20).error(), Errno::kEINVAL);
    ASSERT_TRUE(device_interrupts.map_line(kControl, 20).ok());
    EXPECT_TRUE(device_interrupts.map_line(kControl, 20).ok()) << "again";
    EXPECT_EQ(device_interrupts.map_line(DomId(1), 20).error(), Errno::kEBUSY);
    EXPECT_EQ(device_interrupts.bind(guest().events, 20).error(), Errno::kEINVAL);
    EXPECT_EQ(device_interrupts.end_of(DomId(1), 20).error(), Errno::kEINVAL);
    EXPECT_EQ(device_interrupts.unmap(DomId(1), 20).error(), Errno::kEINVAL);
    bind(20);
    EXPECT_EQ(device_interrupts.bind(control().events, 20).error(), Errno::kEBUSY);
}

TEST_F(DeviceInterruptsTest, AClosedPortHearsNothing) {
    (void)device_interrupts.describe_line(20, true, true);
    ASSERT_TRUE(device_interrupts.map_line(kControl, 20).ok());
    const Port port = bind(20);
    fakes::devices().assert_line(20);
    ASSERT_TRUE(control().events.close(port).ok());
    EXPECT_TRUE(line(20).masked);
    fakes::devices().arrive(line(20).route.cpu, line(20).route.vector);
    EXPECT_EQ(device_interrupts.find(20)->strays.load(), 1u);
    const Port again = bind(20);
    EXPECT_FALSE(line(20).masked) << "the end that was owed is forgotten";
    fakes::devices().pulse(20);
    EXPECT_TRUE(take_event(again));
}

TEST_F(DeviceInterruptsTest, MessagesOfATable) {
    fakes::PciFunction& function = add_msix();
    const uint32_t first = map_entry(0), third = map_entry(2);
    switch_on(function);
    EXPECT_GE(first, device_interrupts.lines());
    EXPECT_FALSE(function.send_msix(0)) << "masked until it is bound";
    const Port a = bind(first), b = bind(third);
    EXPECT_TRUE(function.send_msix(2));
    EXPECT_FALSE(take_event(a));
    EXPECT_TRUE(take_event(b));
    EXPECT_TRUE(function.send_msix(0));
    EXPECT_TRUE(take_event(a));
    ASSERT_TRUE(device_interrupts.unmap(kControl, first).ok());
    EXPECT_FALSE(function.send_msix(0));
    EXPECT_TRUE(function.send_msix(2));
    EXPECT_EQ(map_entry(0), first) << "the number is free again";
}

TEST_F(DeviceInterruptsTest, ADeviceAskedTwiceSaysSo) {
    add_msix();
    map_entry(1);
    const MessageRequest again{.device = kDevice, .kind = MessageKind::kMsiX, .index = 1};
    EXPECT_EQ(device_interrupts.map_message(kControl, again).error(), Errno::kEEXIST);
    const PciAddress other{0, 0x20};
    fakes::devices().add(other,
                         {.msi_messages = 4, .msix_entries = 8, .table_bar = kBar, .table_offset = 0x800});
    const MessageRequest overlapping{.device = other, .kind = MessageKind::kMsiX, .index = 1};
    EXPECT_EQ(device_interrupts.map_message(kControl, overlapping).error(), Errno::kEBUSY)
        << "another's table";
    ASSERT_TRUE(device_interrupts.map_message(kControl, {.device = other}).ok());
    EXPECT_EQ(device_interrupts.map_message(kControl, {.device = other}).error(), Errno::kEEXIST);
    const MessageRequest both{.device = other, .kind = MessageKind::kMsiX, .index = 5};
    EXPECT_EQ(device_interrupts.map_message(kControl, both).error(), Errno::kEBUSY) << "MSI is set up";
}

TEST_F(DeviceInterruptsTest, SeveralMessagesShareAnAddress) {
    fakes::PciFunction& function = fakes::devices().add(kDevice, {.msi_messages = 8});
    const uint32_t first = device_interrupts.map_message(kControl, {.device = kDevice, .count = 3}).value();
    function.write(fakes::PciFunction::kMsi + 2, 2, function.read(fakes::PciFunction::kMsi + 2, 2) | 1);
    Port ports[3] = {bind(first), bind(first + 1), bind(first + 2)};
    for (unsigned i = 0; i < 3; ++i) {
        EXPECT_TRUE(function.send_msi(i));
        for (unsigned j = 0; j < 3; ++j)
            EXPECT_EQ(take_event(ports[j]), i == j);
    }
    EXPECT_EQ(device_interrupts.unmap(kControl, first + 1).error(), Errno::kEINVAL)
        << "they go with the first";
    EXPECT_TRUE(device_interrupts.unmap(kControl, first).ok());
    EXPECT_FALSE(function.msi_enabled());
    EXPECT_EQ(device_interrupts.unmap(kControl, first + 1).error(), Errno::kEINVAL);
    EXPECT_EQ(device_interrupts.map_message(kControl, {.device = kDevice, .count = 9}).error(),
              Errno::kEINVAL);
    EXPECT_EQ(device_interrupts.map_message(kControl, {.device = kDevice, .count = 64}).error(),
              Errno::kEINVAL);
    EXPECT_EQ(device_interrupts.map_message(kControl, {.device = kDevice, .count = 0}).error(),
              Errno::kEINVAL);
}

// It is told on the CPU where it comes; after it has come to the wrong one for some time, it moves, and what
// the device had sent to the old one still counts.
TEST_F(DeviceInterruptsTest, AnInterruptFollowsItsVcpu) {
    fakes::PciFunction& function = add_msix();
    fakes::Machine::set_current(&vcpu(control()), CpuId(2));
    const uint32_t pirq = map_entry(0);
    switch_on(function);
    const Port port = bind(pirq);
    const CpuId home = vcpu(control()).unit.cpu();
    ASSERT_NE(home, CpuId(2));
    unsigned sent = 0;
    do {
        ASSERT_TRUE(function.send_msix(0));
        EXPECT_TRUE(take_event(port));
        ASSERT_LT(++sent, 100u);
    } while (device_interrupts.find(pirq)->cpu != home);
    EXPECT_GT(sent, 4u) << "a vCPU that is elsewhere for a moment is not followed";
    const uint8_t vector = fakes::devices().last_vector;
    ASSERT_TRUE(function.send_msix(0));
    EXPECT_EQ(fakes::devices().last_cpu, home);
    EXPECT_EQ(fakes::devices().last_vector, vector);
    EXPECT_TRUE(take_event(port));
    fakes::devices().arrive(CpuId(2), vector);
    EXPECT_TRUE(take_event(port)) << "a message that was on its way";
    EXPECT_EQ(fakes::devices().lost, 0u);
}

TEST_F(DeviceInterruptsTest, AnInterruptStaysWhereItCannotMove) {
    fakes::PciFunction& function = add_msix();
    fakes::Machine::set_current(&vcpu(control()), CpuId(2));
    const uint32_t pirq = map_entry(0);
    switch_on(function);
    const Port port = bind(pirq);
    fakes::devices().unreachable_cpu = vcpu(control()).unit.cpu().raw();
    for (int i = 0; i < 100; ++i) {
        ASSERT_TRUE(function.send_msix(0));
        EXPECT_TRUE(take_event(port));
    }
    EXPECT_EQ(device_interrupts.find(pirq)->cpu, CpuId(2));
}

TEST_F(DeviceInterruptsTest, ADeviceThatWasResetGetsItsMessagesBack) {
    fakes::PciFunction& function = add_msix();
    const uint32_t bound = map_entry(0), unbound = map_entry(1);
    const Port port = bind(bound);
    function.reset();
    switch_on(function);
    EXPECT_FALSE(function.send_msix(0));
    ASSERT_TRUE(device_interrupts.restore(kDevice).ok());
    EXPECT_TRUE(function.send_msix(0));
    EXPECT_TRUE(take_event(port));
    EXPECT_FALSE(function.send_msix(1));
    EXPECT_EQ(device_interrupts.restore({7, 7}).error(), Errno::kEINVAL);
    ASSERT_TRUE(device_interrupts.unmap(kControl, unbound).ok());
}

TEST_F(DeviceInterruptsTest, NumbersAndVectorsRunOut) {
    fakes::PciFunction& function = add_msix(2048);
    unsigned mapped = 0;
    Result<uint32_t> result = Errno::kEINVAL;
    do {
        result = device_interrupts.map_message(
            kControl, {.device = kDevice, .kind = MessageKind::kMsiX, .index = mapped});
        mapped += result.ok() ? 1 : 0;
    } while (result.ok());
    EXPECT_EQ(result.error(), Errno::kENOSPC);
    EXPECT_EQ(mapped, fakes::kFakeCpus * (VectorSpace::kEnd - VectorSpace::kFirst))
        << "all vectors of all CPUs";
    EXPECT_FALSE(function.send_msix(mapped));
    device_interrupts.unmap_all(kControl);
    for (uint32_t pirq = 0; pirq < DeviceInterrupts::end(); ++pirq)
        EXPECT_TRUE(device_interrupts.find(pirq) == nullptr || !device_interrupts.find(pirq)->is_mapped);
}

}  // namespace
}  // namespace torii::test
