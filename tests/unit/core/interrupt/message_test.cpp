#include "core/pci/message.h"

#include <gtest/gtest.h>

#include "core/pci/registers.h"
#include "fakes/fake_devices.h"
#include "fakes/fake_machine.h"

namespace torii::test {
namespace {

constexpr PciAddress kDevice{0, 0x18};
// Beyond all RAM of the fake machine.
constexpr MachineAddr kBar{0xf000'0000};

class Messages : public testing::Test {
protected:
    void SetUp() override { fakes::devices().clear(); }
    void TearDown() override { fakes::devices().clear(); }
    fakes::PciFunction& add(const fakes::PciFunction::Shape& shape) {
        return fakes::devices().add(kDevice, shape);
    }
};

TEST_F(Messages, WhatIsNotThereIsNotFound) {
    EXPECT_EQ(find_message_capability(kDevice, MessageKind::kMsi).error(), Errno::kENODEV);
    add({.msix_entries = 4, .table_bar = kBar});
    EXPECT_EQ(find_message_capability(kDevice, MessageKind::kMsi).error(), Errno::kENODEV);
    EXPECT_EQ(find_message_capability(kDevice, MessageKind::kMsiX).value(), fakes::PciFunction::kMsix);
}

TEST_F(Messages, AListThatIsACircleEnds) {
    fakes::PciFunction& function = add({.msi_messages = 1});
    function.set(fakes::PciFunction::kMsi, 2, 0x09 | fakes::PciFunction::kMsi << 8);
    EXPECT_EQ(find_message_capability(kDevice, MessageKind::kMsi).error(), Errno::kENODEV);
    function.set(fakes::PciFunction::kMsi, 2, 0xffff);
    EXPECT_EQ(find_message_capability(kDevice, MessageKind::kMsi).error(), Errno::kENODEV);
}

TEST_F(Messages, MsiIsWrittenInEachOfItsFourShapes) {
    for (const bool wide : {false, true}) {
        for (const bool masks : {false, true}) {
            fakes::devices().clear();
            fakes::PciFunction& function = add({.msi_messages = 8, .msi_wide = wide, .msi_masks = masks});
            function.write(fakes::PciFunction::kMsi + 2, 2, 1);
            const MessagePlace place = msi_place(kDevice, 4).value();
            set_up_message(place, 0xfee03000, 0x60, 4);
            EXPECT_FALSE(function.msi_enabled()) << "the domain switches it on";
            EXPECT_EQ(function.read(fakes::PciFunction::kMsi + 2, 2) >> 4 & 7, 2u);
            EXPECT_EQ(function.read(fakes::PciFunction::kMsi + 4, 4), 0xfee03000u);
            EXPECT_EQ(function.read(fakes::PciFunction::kMsi + (wide ? 0xc : 8), 2), 0x60u);
            function.write(fakes::PciFunction::kMsi + 2, 2,
                           function.read(fakes::PciFunction::kMsi + 2, 2) | 1);
            EXPECT_EQ(function.send_msi(1), !masks);
            MessagePlace second = place;
            second.index = 1;
            mask_message(second, false);
            EXPECT_TRUE(function.send_msi(1));
            EXPECT_EQ(fakes::devices().last_cpu, CpuId(3));
            EXPECT_EQ(fakes::devices().last_vector, 0x61);
            EXPECT_EQ(function.send_msi(0), !masks);
            retire_message(place);
            EXPECT_FALSE(function.msi_enabled());
        }
    }
    EXPECT_EQ(msi_place(kDevice, 16).error(), Errno::kEINVAL);
}

TEST_F(Messages, AnEntryOfTheTableIsMaskedUntilItIsWanted) {
    fakes::PciFunction& function = add({.msix_entries = 4, .table_bar = kBar, .table_offset = 0x800});
    function.write(fakes::PciFunction::kMsix + 2, 2, 0x8000);
    const MessagePlace place = msix_place(kDevice, 2, {}).value();
    EXPECT_EQ(place.entry, function.entry(2));
    set_up_message(place, 0xfee01000, 0x71, 1);
    EXPECT_FALSE(function.send_msix(2));
    mask_message(place, false);
    EXPECT_TRUE(function.send_msix(2));
    EXPECT_EQ(fakes::devices().last_vector, 0x71);
    send_message_to(place, 0xfee02000);
    EXPECT_TRUE(function.send_msix(2));
    EXPECT_EQ(fakes::devices().last_cpu, CpuId(2));
    mask_message(place, true);
    send_message_to(place, 0xfee00000);
    EXPECT_FALSE(function.send_msix(2)) << "a move takes no mask away";
    EXPECT_EQ(msix_place(kDevice, 4, {}).error(), Errno::kEINVAL);
}

TEST_F(Messages, ATableLiesInDeviceMemoryOrNowhere) {
    fakes::PciFunction& function = add({.msix_entries = 4, .table_bar = kBar});
    function.set(0x10 + 4 * fakes::PciFunction::kTableBar, 4, 0x5000 | 4);
    EXPECT_EQ(msix_place(kDevice, 0, {}).error(), Errno::kEPERM) << "in RAM";
    function.set(0x10 + 4 * fakes::PciFunction::kTableBar, 4, 0xc001);
    EXPECT_EQ(msix_place(kDevice, 0, {}).error(), Errno::kENXIO) << "in ports";
    function.set(0x10 + 4 * fakes::PciFunction::kTableBar, 4, 4);
    EXPECT_EQ(msix_place(kDevice, 0, {}).error(), Errno::kENXIO) << "nowhere";
    EXPECT_EQ(msix_place(kDevice, 0, kBar).value().entry, kBar) << "where the control domain says";
    EXPECT_EQ(msix_place(kDevice, 0, MachineAddr(0x5000)).error(), Errno::kEPERM);
    function.set(0x14 + 4 * fakes::PciFunction::kTableBar, 4, 0xffffffff);
    EXPECT_EQ(msix_place(kDevice, 0, {}).error(), Errno::kEPERM) << "beyond all addresses";
    function.set(fakes::PciFunction::kMsix + 4, 4, 7);
    EXPECT_EQ(msix_place(kDevice, 0, {}).error(), Errno::kENXIO) << "a seventh BAR";
    function.write(0x04, 2, 0);
    EXPECT_EQ(msix_place(kDevice, 0, kBar).error(), Errno::kENXIO) << "its memory is off";
}

TEST_F(Messages, TheTablesFramesAreKnown) {
    add({.msix_entries = 512, .table_bar = kBar, .table_offset = 0x800});
    const FrameRange frames = msix_table_frames(kDevice);
    EXPECT_EQ(frames.first, frame_of(kBar));
    EXPECT_EQ(frames.count, 3u);
    EXPECT_EQ(msix_table_frames({9, 9}).count, 0u);
}

}  // namespace
}  // namespace torii::test
