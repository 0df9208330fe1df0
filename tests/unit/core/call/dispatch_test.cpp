#include "core/call/dispatch.h"

#include <torii/abi/xen_version.h>

#include <cstring>

#include "core/call/counters.h"
#include "unit/core/call/call_world.h"

namespace torii::test {
namespace {

using abi::Hypercall;

class DispatchTest : public CallWorld {};

TEST_F(DispatchTest, EveryRowHasAHandlerAndAName) {
    for (const HypercallRow& row : hypercall_table) {
        EXPECT_NE(row.handler, nullptr);
        EXPECT_NE(row.name, nullptr);
    }
}

TEST_F(DispatchTest, NumbersWithoutACallAnswerEnosys) {
    for (const uint64_t number : {uint64_t{11}, uint64_t{43}, uint64_t{55}, uint64_t{63}, uint64_t{64},
                                  uint64_t{65535}, uint64_t{0xffffffff}}) {
        bool continued = true;
        EXPECT_EQ(call_once(guest(), number, continued), failure(Errno::kENOSYS)) << number;
        EXPECT_FALSE(continued);
    }
}

// The ABI passes the number in eax.
TEST_F(DispatchTest, TheUpperHalfOfTheNumberIsNotLookedAt) {
    bool continued = true;
    registers(guest()).rdi = static_cast<uint64_t>(abi::VersionOp::kVersion);
    EXPECT_EQ(
        call_once(guest(), 0xdeadbeef00000000 | static_cast<uint64_t>(Hypercall::kXenVersion), continued),
        (4 << 16) | 17);
}

TEST_F(DispatchTest, PrivilegedCallsAreRefusedToOthers) {
    for (const Hypercall number :
         {Hypercall::kDomctl, Hypercall::kSysctl, Hypercall::kPlatformOp, Hypercall::kMca})
        EXPECT_EQ(call(guest(), number, {0}), failure(Errno::kEPERM));
    // The control domain gets as far as the missing structure.
    EXPECT_EQ(call(control(), Hypercall::kDomctl, {0}), failure(Errno::kEFAULT));
}

TEST_F(DispatchTest, CallsAreCountedAndTraced) {
    const auto number = static_cast<uint32_t>(Hypercall::kXenVersion);
    const uint64_t before = total_counters().hypercalls[number];
    (void)call(guest(), Hypercall::kXenVersion, {static_cast<uint64_t>(abi::VersionOp::kPagesize)});
    EXPECT_EQ(total_counters().hypercalls[number], before + 1);
    const TraceRing& trace = vcpu(guest()).trace;
    const TraceEntry& last = trace.entries[(trace.next - 1) % TraceRing::kEntries];
    EXPECT_EQ(last.kind, TraceKind::kHypercall);
    EXPECT_EQ(last.number, number);
    EXPECT_EQ(last.detail, static_cast<uint64_t>(abi::VersionOp::kPagesize));
    EXPECT_EQ(last.result, 4096u);
}

TEST_F(DispatchTest, RefusedOnPurpose) {
    for (const Hypercall number :
         {Hypercall::kHvmOp, Hypercall::kTmemOp, Hypercall::kArgoOp, Hypercall::kDmOp, Hypercall::kKexecOp,
          Hypercall::kXsmOp, Hypercall::kHypfsOp, Hypercall::kXenoprofOp})
        EXPECT_EQ(call(control(), number, {0, 0, 0}), failure(Errno::kENOSYS));
}

}  // namespace
}  // namespace torii::test
