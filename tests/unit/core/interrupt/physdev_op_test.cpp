#include <torii/abi/errno.h>

#include "unit/core/interrupt/device_world.h"

namespace torii::test {
namespace {

using abi::MapPirqType;
using abi::PhysdevOp;

class PhysdevTest : public DeviceWorld {
protected:
    static abi::PhysdevMapPirq message(MapPirqType type, int entry, MachineAddr table = {}) {
        return {.domid = abi::kDomIdSelf,
                .padding0 = 0,
                .type = static_cast<int32_t>(type),
                .index = -1,
                .pirq = -1,
                .bus = kDevice.bus,
                .devfn = kDevice.devfn,
                .entry_nr = entry,
                .padding1 = 0,
                .table_base = table.raw()};
    }
    static int64_t failure(Errno error) { return -static_cast<int64_t>(error); }
};

TEST_F(PhysdevTest, ALineFromSetupToEnd) {
    abi::PhysdevSetupGsi setup{20, 1, 1, 0};
    EXPECT_EQ(physdev(PhysdevOp::kSetupGsi, &setup), 0);
    EXPECT_EQ(physdev(PhysdevOp::kSetupGsi, &setup), failure(Errno::kEEXIST));
    auto map = message(MapPirqType::kGsi, 0);
    map.index = map.pirq = 20;
    EXPECT_EQ(physdev(PhysdevOp::kMapPirq, &map), 0);
    EXPECT_EQ(map.pirq, 20);
    abi::PhysdevIrq vector{20, 0};
    EXPECT_EQ(physdev(PhysdevOp::kAllocIrqVector, &vector), 0);
    abi::PhysdevIrqStatusQuery status{20, 0};
    EXPECT_EQ(physdev(PhysdevOp::kIrqStatusQuery, &status), 0);
    EXPECT_EQ(status.flags, abi::kIrqStatusNeedsEoi);
    const Port port = bind(20);
    fakes::devices().assert_line(20);
    EXPECT_TRUE(take_event(port));
    abi::PhysdevEoi end{20};
    EXPECT_EQ(physdev(PhysdevOp::kEoi, &end), 0);
    EXPECT_FALSE(line(20).masked);
    abi::PhysdevUnmapPirq unmap{abi::kDomIdSelf, 0, 20};
    EXPECT_EQ(physdev(PhysdevOp::kUnmapPirq, &unmap), 0);
    EXPECT_EQ(physdev(PhysdevOp::kUnmapPirq, &unmap), failure(Errno::kEINVAL));
    EXPECT_EQ(physdev(PhysdevOp::kEoi, &end), failure(Errno::kEINVAL));
}

TEST_F(PhysdevTest, MessagesAsLinuxAsksForThem) {
    fakes::PciFunction& function = add_msix();
    auto map = message(MapPirqType::kMsiSegment, 3, kBar);
    ASSERT_EQ(physdev(PhysdevOp::kMapPirq, &map), 0);
    function.write(fakes::PciFunction::kMsix + 2, 2, 0x8000);
    abi::PhysdevIrqStatusQuery status{static_cast<uint32_t>(map.pirq), 0};
    EXPECT_EQ(physdev(PhysdevOp::kIrqStatusQuery, &status), 0);
    EXPECT_EQ(status.flags, 0u);
    const Port port = bind(static_cast<uint32_t>(map.pirq));
    EXPECT_TRUE(function.send_msix(3));
    EXPECT_TRUE(take_event(port));
    function.reset();
    abi::PciDevice restored{0, kDevice.bus, kDevice.devfn};
    EXPECT_EQ(physdev(PhysdevOp::kRestoreMsiExt, &restored), 0);
    function.write(fakes::PciFunction::kMsix + 2, 2, 0x8000);
    EXPECT_TRUE(function.send_msix(3));
}

TEST_F(PhysdevTest, HostileRequestsAreRefused) {
    add_msix();
    const auto refused = [&](abi::PhysdevMapPirq map, Errno error) {
        EXPECT_EQ(physdev(PhysdevOp::kMapPirq, &map), failure(error));
    };
    auto map = message(MapPirqType::kMsiSegment, 99, kBar);
    refused(map, Errno::kEINVAL);
    map = message(MapPirqType::kMsiSegment, -1, kBar);
    refused(map, Errno::kEINVAL);
    map = message(MapPirqType::kMsi, 0);
    refused(map, Errno::kENODEV);  // it has MSI-X only
    map = message(MapPirqType::kMultiMsi, 1 << 20);
    refused(map, Errno::kEINVAL);
    map.bus = 1 << 16;
    refused(map, Errno::kEOPNOTSUPP);  // another segment
    map = message(MapPirqType::kMsi, 0);
    map.bus = 0x100;
    refused(map, Errno::kEINVAL);
    map = message(MapPirqType::kMsi, 0);
    map.devfn = -1;
    refused(map, Errno::kEINVAL);
    map = message(MapPirqType::kMsiSegment, 0, kBar);
    map.pirq = 100;
    refused(map, Errno::kEINVAL);
    map = message(MapPirqType::kMsiSegment, 0, kBar);
    map.domid = 1;
    refused(map, Errno::kEOPNOTSUPP);  // devices are the control domain's
    map = message(MapPirqType::kGsi, 0);
    map.index = 24;
    refused(map, Errno::kEINVAL);
    map.index = 3;
    map.pirq = 5;
    refused(map, Errno::kEINVAL);
    map.type = 77;
    refused(map, Errno::kEINVAL);
}

TEST_F(PhysdevTest, APortOfAnInterruptThatIsNotMappedIsNotMade) {
    const uint32_t before = control().events.ports_in_use();
    abi::EventBindPirq request{20, 0, 0};
    EXPECT_EQ(call(control(), abi::Hypercall::kEventChannelOp,
                   {static_cast<uint64_t>(abi::EventChannelOp::kBindPirq), address(&request)}),
              failure(Errno::kEINVAL));
    EXPECT_EQ(control().events.ports_in_use(), before);
}

}  // namespace
}  // namespace torii::test
