#include <torii/abi/domctl.h>
#include <torii/abi/sysctl.h>

#include <cstring>
#include <string>

#include "base/log.h"
#include "core/console/console.h"
#include "unit/core/call/call_world.h"

namespace torii::test {
namespace {

using abi::Hypercall;
using abi::SysctlCommand;

class SysctlTest : public CallWorld {};

TEST_F(SysctlTest, VersionAndUnknownCommands) {
    abi::Sysctl op = request(SysctlCommand::kPhysinfo);
    op.interface_version = 0x14;
    EXPECT_EQ(issue(op), failure(Errno::kEACCES));
    op = request(static_cast<SysctlCommand>(99));
    EXPECT_EQ(issue(op), failure(Errno::kENOSYS));
}

TEST_F(SysctlTest, TheMachine) {
    abi::Sysctl op = request(SysctlCommand::kPhysinfo);
    EXPECT_EQ(issue(op), 0);
    EXPECT_EQ(op.u.physinfo.nr_cpus, 4u);
    EXPECT_NE(op.u.physinfo.capabilities & abi::kPhysicalCapPv, 0u);
    EXPECT_EQ(op.u.physinfo.capabilities & abi::kPhysicalCapHvm, 0u);
    EXPECT_GT(op.u.physinfo.free_pages, 0u);
    op = request(SysctlCommand::kSchedId);
    EXPECT_EQ(issue(op), 0);
    EXPECT_EQ(op.u.sched_id.sched_id, 6u);
    abi::SysctlCputopo cpus[8];
    op = request(SysctlCommand::kCputopoinfo);
    op.u.cputopoinfo = {8, 0, {address(cpus)}};
    EXPECT_EQ(issue(op), 0);
    EXPECT_EQ(op.u.cputopoinfo.num_cpus, 4u);
}

TEST_F(SysctlTest, DomainsInOneCall) {
    abi::DomctlGetdomaininfo infos[4];
    abi::Sysctl op = request(SysctlCommand::kGetdomaininfolist);
    op.u.getdomaininfolist.max_domains = 4;
    op.u.getdomaininfolist.buffer.address = address(infos);
    EXPECT_EQ(issue(op), 0);
    EXPECT_EQ(op.u.getdomaininfolist.num_domains, 2u);
    EXPECT_EQ(infos[1].domain, 1);
    op.u.getdomaininfolist.first_domain = 1;
    EXPECT_EQ(issue(op), 0);
    EXPECT_EQ(op.u.getdomaininfolist.num_domains, 1u);
}

TEST_F(SysctlTest, TheLogIsReadInPieces) {
    abi::Sysctl op = request(SysctlCommand::kReadconsole);
    std::string text(kLongestLogLine, '\0');
    op.u.readconsole.clear = 1;
    std::vector<char> all(64 * 1024);
    op.u.readconsole.buffer.address = address(all.data());
    op.u.readconsole.count = static_cast<uint32_t>(all.size());
    EXPECT_EQ(issue(op), 0);
    log(LogLevel::kError, "first {}", 1);
    log(LogLevel::kError, "second {x}", 255);
    op.u.readconsole.clear = 0;
    op.u.readconsole.incremental = 1;
    op.u.readconsole.count = 10;
    EXPECT_EQ(issue(op), 0);
    EXPECT_EQ(op.u.readconsole.count, 10u);
    std::string read(all.data(), 10);
    op.u.readconsole.count = static_cast<uint32_t>(all.size());
    EXPECT_EQ(issue(op), 0);
    read.append(all.data(), op.u.readconsole.count);
    EXPECT_EQ(read, "(torii) first 1\n(torii) second 0xff\n");
    op.u.readconsole.count = 100;
    EXPECT_EQ(issue(op), 0);
    EXPECT_EQ(op.u.readconsole.count, 0u);
}

TEST_F(SysctlTest, CountersOfEveryHypercall) {
    abi::Sysctl op = request(SysctlCommand::kPerfcOp);
    op.u.perfc_op.cmd = static_cast<uint32_t>(abi::PerfCounterOp::kQuery);
    EXPECT_EQ(issue(op), 0);
    std::vector<abi::SysctlPerfcDescription> names(op.u.perfc_op.nr_counters);
    std::vector<uint32_t> values(op.u.perfc_op.nr_vals);
    op.u.perfc_op.desc.address = address(names.data());
    op.u.perfc_op.val.address = address(values.data());
    (void)call(guest(), Hypercall::kXenVersion, {0, 0});
    EXPECT_EQ(issue(op), 0);
    EXPECT_STREQ(names[17].name, "hypercall 17 xen_version");
    EXPECT_STREQ(names[56 + 14].name, "trap 14");
    EXPECT_GT(values[static_cast<uint32_t>(Hypercall::kXenVersion)], 0u);
    uint32_t sum = 0;
    for (const auto& name : names)
        sum += name.nr_vals;
    EXPECT_EQ(sum, values.size());

    const uint32_t& versions = values[static_cast<uint32_t>(Hypercall::kXenVersion)];
    op.u.perfc_op.cmd = static_cast<uint32_t>(abi::PerfCounterOp::kReset);
    EXPECT_EQ(issue(op), 0);
    EXPECT_EQ(versions, 0u) << "a reset tells what is there afterwards";
    (void)call(guest(), Hypercall::kXenVersion, {0, 0});
    op.u.perfc_op.cmd = static_cast<uint32_t>(abi::PerfCounterOp::kQuery);
    EXPECT_EQ(issue(op), 0);
    EXPECT_EQ(versions, 1u);
}

}  // namespace
}  // namespace torii::test
