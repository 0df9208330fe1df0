#include "core/interrupt/guarded_stores.h"

#include "arch/x86/pv/page_type.h"
#include "core/memory/io_frames.h"
#include "unit/core/interrupt/device_world.h"

namespace torii::test {
namespace {

constexpr unsigned kMsi = fakes::PciFunction::kMsi;

class GuardedStores : public DeviceWorld {
protected:
    // What the table's entry holds.
    static uint32_t word(const fakes::PciFunction& function, unsigned entry, unsigned at) {
        return fakes::devices().memory.at(function.entry(entry).raw() + at);
    }
};

TEST_F(GuardedStores, OnlyTheMaskOfAnEntryIsTheDomains) {
    fakes::PciFunction& function = add_msix();
    function.write(fakes::PciFunction::kMsix + 2, 2, 0x8000);
    const uint32_t pirq =
        device_interrupts.map_message(DomId(0), {.device = kDevice, .kind = MessageKind::kMsiX, .index = 1})
            .value();
    EXPECT_TRUE(is_guarded_io_frame(frame_of(kBar)));
    const Port port = bind(pirq);
    const uint32_t address = word(function, 1, 0), data = word(function, 1, 8);
    for (const unsigned at : {0u, 4u, 8u})
        write_guarded(function.entry(1) + at, 4, 0xfee0'0000 + at);
    write_guarded(function.entry(1), 8, ~uint64_t{0});
    EXPECT_EQ(word(function, 1, 0), address);
    EXPECT_EQ(word(function, 1, 4), 0u);
    EXPECT_EQ(word(function, 1, 8), data);

    write_guarded(function.entry(1) + 12, 4, 1);
    EXPECT_FALSE(function.send_msix(1));
    write_guarded(function.entry(1) + 12, 4, 0);
    EXPECT_TRUE(function.send_msix(1));
    EXPECT_TRUE(take_event(port));
    write_guarded(function.entry(1) + 8, 8, uint64_t{1} << 32);
    EXPECT_FALSE(function.send_msix(1));
    // The hypervisor's own mask, of an interrupt that nobody hears, is not taken away.
    ASSERT_TRUE(control().events.close(port).ok());
    write_guarded(function.entry(1) + 12, 1, 0);
    EXPECT_FALSE(function.send_msix(1));
    write_guarded(function.entry(2) + 12, 4, 0);
    EXPECT_EQ(word(function, 2, 12), 1u) << "nobody has mapped it";
}

TEST_F(GuardedStores, WhatSharesAFrameWithATableIsWritten) {
    add_msix();
    device_interrupts.guard_table(kDevice);
    write_guarded(kBar + 0x10, 4, 0x12345678);
    EXPECT_EQ(device_read(kBar + 0x10), 0x12345678u);
    write_guarded(kBar + 0x11, 1, 0xff);
    EXPECT_EQ(device_read(kBar + 0x10), 0x1234ff78u);
    write_guarded(kBar + 0x20, 8, 0x1111'1111'2222'2222);
    EXPECT_EQ(device_read(kBar + 0x20), 0x22222222u);
    EXPECT_EQ(device_read(kBar + 0x24), 0x11111111u);
}

TEST_F(GuardedStores, ConfigurationSpaceInMemoryIsAsThatByPorts) {
    constexpr MachineAddr kSpace{0xe000'0000};
    ASSERT_TRUE(guard_io_range({kSpace, 256u << 20, IoGuard::kConfiguration, 0}).ok());
    fakes::PciFunction& function = fakes::devices().add(kDevice, {.msi_messages = 4});
    const MachineAddr of_device = kSpace + (uint64_t{kDevice.devfn} << 12);
    write_guarded(of_device + 0xc0, 4, 0xabcd);
    EXPECT_EQ(function.read(0xc0, 4), 0xabcdu);
    write_guarded(of_device + kMsi + 4, 4, 0xfee0'0000);
    EXPECT_EQ(function.read(kMsi + 4, 4), 0u);
    write_guarded(of_device + kMsi + 2, 2, 1);
    EXPECT_FALSE(function.msi_enabled());
    write_guarded(of_device + 0x100, 4, 0x77);
    EXPECT_EQ(device_read(of_device + 0x100), 0x77u) << "beyond what ports reach";
    write_guarded(of_device + 0xc1, 2, 0xffff);
    EXPECT_EQ(function.read(0xc0, 4), 0xabcdu) << "not aligned";
    write_guarded(kSpace + (5u << 12) + 0xc0, 4, 1);  // nobody there
    ASSERT_TRUE(guard_io_range({{}, 0, IoGuard::kConfiguration, 0}).ok());
    EXPECT_FALSE(is_guarded_io_frame(frame_of(of_device)));
}

TEST_F(GuardedStores, AGuardedFrameIsMappedToBeReadOnly) {
    add_msix();
    device_interrupts.guard_table(kDevice);
    pv::Pte entry{kBar.raw() | pv::kPtePresent | pv::kPteWrite};
    pv::keep_guarded_read_only(entry);
    EXPECT_FALSE(entry.writable());
    pv::Pte other{(kBar.raw() + 0x10'0000) | pv::kPtePresent | pv::kPteWrite};
    pv::keep_guarded_read_only(other);
    EXPECT_TRUE(other.writable());
    EXPECT_EQ(guarded_range_at(kBar).bytes, 0u);
    EXPECT_EQ(guarded_range_at(kBar + 0x800).bytes, 8u * 16);
    EXPECT_EQ(guarded_range_at(kBar + 0x800 + 8 * 16).bytes, 0u);
    // When the device moves, its old place is anyone's.
    fakes::devices().find(kDevice)->write(0x10 + 4 * fakes::PciFunction::kTableBar, 4, 0xf800'0000);
    device_interrupts.guard_table(kDevice);
    EXPECT_FALSE(is_guarded_io_frame(frame_of(kBar)));
    EXPECT_TRUE(is_guarded_io_frame(Mfn(0xf8000)));
}

}  // namespace
}  // namespace torii::test
