// Calls that fit in a line or two: versions, assists, devices, the platform.
#include <torii/abi/console_io.h>
#include <torii/abi/machine_check.h>
#include <torii/abi/mmu.h>
#include <torii/abi/physdev.h>
#include <torii/abi/platform.h>
#include <torii/abi/xen_version.h>

#include <cstring>
#include <string_view>

#include "core/call/wall_clock.h"
#include "core/console/console.h"
#include "core/domain/time.h"
#include "core/domain/vcpu_areas.h"
#include "fakes/fake_machine.h"
#include "unit/core/call/call_world.h"

namespace torii::test {
namespace {

using abi::Hypercall;
using abi::VersionOp;

class SmallCallsTest : public CallWorld {
protected:
    int64_t version(Domain& from, VersionOp op, void* buffer) {
        return call(from, Hypercall::kXenVersion, {static_cast<uint64_t>(op), address(buffer)});
    }
    int64_t physdev(Domain& from, abi::PhysdevOp op, void* buffer) {
        return call(from, Hypercall::kPhysdevOp, {static_cast<uint64_t>(op), address(buffer)});
    }
};

TEST_F(SmallCallsTest, FeaturesAreThoseThatLinuxInsistsOn) {
    abi::FeatureInfo info{0, 0};
    EXPECT_EQ(version(guest(), VersionOp::kGetFeatures, &info), 0);
    EXPECT_NE(info.submap & (1u << 5), 0u);
    EXPECT_NE(info.submap & (1u << 7), 0u);
    EXPECT_EQ(info.submap & (1u << 0 | 1u << 2 | 1u << 3 | 1u << 11), 0u);
    EXPECT_EQ(version(control(), VersionOp::kGetFeatures, &info), 0);
    EXPECT_NE(info.submap & (1u << 11), 0u);
    info.submap_idx = 1;
    EXPECT_EQ(version(guest(), VersionOp::kGetFeatures, &info), failure(Errno::kEINVAL));
}

// The guest's clock has to go on where it was, although the counter below it is another one.
TEST_F(SmallCallsTest, ClocksFollowTheCounterOfTheCpu) {
    Vcpu& mover = vcpu(guest());
    const abi::VcpuTimeInfo& time = mover.events.info.load()->time;
    fakes::machine().timestamp_offsets[1] = -5000;
    clock_scale.stable = false;
    for (const unsigned cpu : {1u, 0u}) {
        fakes::Machine::set_current(&mover, CpuId(cpu));
        const uint32_t version = time.version;
        vcpu_arrives(mover);
        EXPECT_EQ(time.version, version + 2);
        EXPECT_EQ(time.tsc_timestamp, clock_scale.origin - (cpu == 1 ? 5000 : 0));
        EXPECT_EQ(time.flags & abi::kPvclockTscStable, 0);
    }
    clock_scale.stable = true;
    fakes::machine().timestamp_offsets[1] = 0;
    publish_time(mover);
    EXPECT_NE(time.flags & abi::kPvclockTscStable, 0);
}

TEST_F(SmallCallsTest, TextsAreFilledToTheEnd) {
    char capabilities[abi::kCapabilitiesSize];
    memset(capabilities, 0x7f, sizeof(capabilities));
    EXPECT_EQ(version(guest(), VersionOp::kCapabilities, capabilities), 0);
    EXPECT_STREQ(capabilities, "xen-3.0-x86_64 ");
    for (size_t i = strlen(capabilities); i < sizeof(capabilities); ++i)
        ASSERT_EQ(capabilities[i], 0);
    char command_line[abi::kCommandlineSize];
    EXPECT_EQ(version(guest(), VersionOp::kCommandline, command_line), 0);
    EXPECT_STREQ(command_line, "<denied>");
    EXPECT_EQ(version(guest(), static_cast<VersionOp>(11), nullptr), failure(Errno::kENOSYS));
    EXPECT_EQ(version(guest(), VersionOp::kCapabilities, nullptr), failure(Errno::kEFAULT));
}

TEST_F(SmallCallsTest, Assists) {
    const auto assist = [&](uint64_t command, uint64_t type) {
        return call(guest(), Hypercall::kVmAssist, {command, type});
    };
    EXPECT_EQ(assist(0, 5), 0);
    EXPECT_EQ(guest().vm_assist, 1u << 5);
    EXPECT_EQ(assist(1, 5), 0);
    EXPECT_EQ(guest().vm_assist, 0u);
    EXPECT_EQ(assist(2, 5), failure(Errno::kENOSYS));
    EXPECT_EQ(assist(0, 6), failure(Errno::kEINVAL));
    EXPECT_EQ(assist(0, 64), failure(Errno::kEINVAL));
    EXPECT_EQ(assist(0, 4), 0);
    EXPECT_TRUE(vcpu(guest()).pv.iopl_in_flags);
}

TEST_F(SmallCallsTest, IoPrivilegeIsForAnyoneDevicesAreNot) {
    abi::PhysdevSetIopl iopl{1};
    EXPECT_EQ(physdev(guest(), abi::PhysdevOp::kSetIopl, &iopl), 0);
    EXPECT_EQ(vcpu(guest()).pv.iopl, 1u);
    iopl.iopl = 4;
    EXPECT_EQ(physdev(guest(), abi::PhysdevOp::kSetIopl, &iopl), failure(Errno::kEINVAL));
    abi::PhysdevSetupGsi gsi{9, 1, 1, 0};
    EXPECT_EQ(physdev(guest(), abi::PhysdevOp::kSetupGsi, &gsi), failure(Errno::kEPERM));
    gsi.gsi = -1;
    EXPECT_EQ(physdev(control(), abi::PhysdevOp::kSetupGsi, &gsi), failure(Errno::kEINVAL));
}

TEST_F(SmallCallsTest, TheTimeOfDayReachesEveryDomain) {
    abi::PlatformOp op{};
    op.cmd = static_cast<uint32_t>(abi::PlatformCommand::kSettime64);
    op.u.settime64 = {.secs = 1'700'000'000, .nsecs = 500'000'000, .mbz = 0, .system_time = 1'500'000'000};
    EXPECT_EQ(call(control(), Hypercall::kPlatformOp, {address(&op)}), failure(Errno::kEACCES));
    op.interface_version = abi::kPlatformInterfaceVersion;
    guest().time_offset_seconds = -100;
    EXPECT_EQ(call(control(), Hypercall::kPlatformOp, {address(&op)}), 0);
    EXPECT_EQ(control().shared_info->wc_sec, 1'699'999'999u);
    EXPECT_EQ(guest().shared_info->wc_sec, 1'699'999'899u);
    EXPECT_EQ(guest().shared_info->wc_nsec, 0u);
    EXPECT_EQ(guest().shared_info->wc_version % 2, 0u);
    op.u.settime64.nsecs = 1'000'000'000;
    EXPECT_EQ(call(control(), Hypercall::kPlatformOp, {address(&op)}), failure(Errno::kEINVAL));
}

TEST_F(SmallCallsTest, MachineChecksKnowTheCpusAndNoErrors) {
    abi::MachineCheckOp op{};
    op.cmd = static_cast<uint32_t>(abi::MachineCheckCommand::kPhysicalCpuInfo);
    op.interface_version = abi::kMachineCheckInterfaceVersion;
    EXPECT_EQ(call(control(), Hypercall::kMca, {address(&op)}), 0);
    EXPECT_EQ(op.u.physical_cpu_info.cpu_count, 4u);
    op.cmd = static_cast<uint32_t>(abi::MachineCheckCommand::kFetch);
    op.u.fetch.flags = abi::kMachineCheckUrgent;
    EXPECT_EQ(call(control(), Hypercall::kMca, {address(&op)}), 0);
    EXPECT_EQ(op.u.fetch.flags, abi::kMachineCheckNoData);
}

TEST_F(SmallCallsTest, ConsoleInputIsTheControlDomains) {
    const std::string_view typed = "ls\n";
    for (const char c : typed)
        (void)console_push_input(c);
    char buffer[16] = {};
    const auto read = static_cast<uint64_t>(abi::ConsoleIoOp::kRead);
    EXPECT_EQ(call(guest(), Hypercall::kConsoleIo, {read, sizeof(buffer), address(buffer)}),
              failure(Errno::kEPERM));
    EXPECT_EQ(call(control(), Hypercall::kConsoleIo, {read, 2, address(buffer)}), 2);
    EXPECT_EQ(call(control(), Hypercall::kConsoleIo, {read, sizeof(buffer), address(buffer + 2)}), 1);
    EXPECT_STREQ(buffer, "ls\n");
    EXPECT_EQ(call(control(), Hypercall::kConsoleIo, {read, sizeof(buffer), address(buffer)}), 0);
}

TEST_F(SmallCallsTest, LongConsoleOutputLetsOthersRun) {
    const std::vector<char> text(100'000, 'x');
    const auto write = static_cast<uint64_t>(abi::ConsoleIoOp::kWrite);
    EXPECT_EQ(call(guest(), Hypercall::kConsoleIo, {write, text.size(), address(text.data())}), 0);
    EXPECT_GT(continuations, 10u);
    EXPECT_EQ(call(guest(), Hypercall::kConsoleIo, {2, 1, address(text.data())}), failure(Errno::kENOSYS));
}

}  // namespace
}  // namespace torii::test
