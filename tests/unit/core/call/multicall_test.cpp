#include <torii/abi/memory.h>
#include <torii/abi/multicall.h>
#include <torii/abi/xen_version.h>

#include "fakes/fake_platform.h"
#include "unit/core/call/call_world.h"

namespace torii::test {
namespace {

using abi::Hypercall;
using abi::MulticallEntry;

constexpr int64_t kVersion = (4 << 16) | 17;
constexpr uint64_t kUntouched = 0x5555555555555555;

MulticallEntry entry(Hypercall number, uint64_t a = 0, uint64_t b = 0) {
    return {static_cast<uint64_t>(number), kUntouched, {a, b, 0, 0, 0, 0}};
}
MulticallEntry version_entry() {
    return entry(Hypercall::kXenVersion);
}
int64_t result_of(const MulticallEntry& e) {
    return static_cast<int64_t>(e.result);
}

class MulticallTest : public CallWorld {
protected:
    int64_t batch(std::vector<MulticallEntry>& entries) {
        return call(guest(), Hypercall::kMulticall, {address(entries.data()), entries.size()});
    }
};

TEST_F(MulticallTest, RunsEachEntryAndStoresItsResult) {
    std::vector<MulticallEntry> entries(9, version_entry());
    entries[3] = entry(Hypercall::kHvmOp);
    EXPECT_EQ(batch(entries), 0);
    for (size_t i = 0; i < entries.size(); ++i)
        EXPECT_EQ(result_of(entries[i]), i == 3 ? failure(Errno::kENOSYS) : kVersion) << i;
}

TEST_F(MulticallTest, AnEmptyBatchIsDone) {
    EXPECT_EQ(call(guest(), Hypercall::kMulticall, {0, 0}), 0);
}

TEST_F(MulticallTest, RefusesWhatHasNoMeaningInABatch) {
    std::vector<MulticallEntry> entries = {entry(Hypercall::kMulticall), entry(Hypercall::kIret),
                                           entry(static_cast<Hypercall>(64)), entry(Hypercall::kDomctl),
                                           version_entry()};
    entries[2].op = uint64_t{1} << 32;  // zero when cut to 32 bits
    const pv::GuestRegisters before = registers(guest());
    EXPECT_EQ(batch(entries), 0);
    EXPECT_EQ(result_of(entries[0]), failure(Errno::kEINVAL));
    EXPECT_EQ(result_of(entries[1]), failure(Errno::kEINVAL));
    EXPECT_EQ(result_of(entries[2]), failure(Errno::kENOSYS));
    EXPECT_EQ(result_of(entries[3]), failure(Errno::kEPERM));
    EXPECT_EQ(result_of(entries[4]), kVersion);
    EXPECT_EQ(registers(guest()).rsp, before.rsp);
    EXPECT_EQ(registers(guest()).rflags, before.rflags);
}

TEST_F(MulticallTest, ALongBatchLetsOthersRunAndStillDoesEveryEntryOnce) {
    std::vector<MulticallEntry> entries(2000, version_entry());
    EXPECT_EQ(batch(entries), 0);
    EXPECT_GT(continuations, 0u);
    for (const MulticallEntry& e : entries)
        EXPECT_EQ(result_of(e), kVersion);
}

TEST_F(MulticallTest, PendingWorkStopsTheBatchAfterAtLeastOneEntry) {
    std::vector<MulticallEntry> entries(5, version_entry());
    vcpu(guest()).entry.exit_work = kWorkReschedule;
    registers(guest()).rdi = address(entries.data());
    registers(guest()).rsi = entries.size();
    bool continued = false;
    (void)call_once(guest(), static_cast<uint64_t>(Hypercall::kMulticall), continued);
    EXPECT_TRUE(continued);
    EXPECT_EQ(registers(guest()).rdi, address(&entries[1]));
    EXPECT_EQ(registers(guest()).rsi, 4u);
    EXPECT_EQ(result_of(entries[0]), kVersion);
    EXPECT_EQ(entries[1].result, kUntouched);
}

// An entry that is continued goes on where it was, after the batch was issued again.
TEST_F(MulticallTest, AnInterruptedEntryKeepsItsProgressInGuestMemory) {
    constexpr unsigned kFrames = 3000;
    std::vector<uint64_t> extents(kFrames);
    for (unsigned i = 0; i < kFrames; ++i)
        extents[i] = i;
    abi::MemoryReservation request{};
    request.extent_start.address = address(extents.data());
    request.nr_extents = kFrames;
    request.domid = abi::kDomIdSelf;
    std::vector<MulticallEntry> entries = {
        version_entry(),
        entry(Hypercall::kMemoryOp, static_cast<uint64_t>(abi::MemoryOp::kPopulatePhysmap),
              address(&request)),
        version_entry()};
    EXPECT_EQ(batch(entries), 0);
    EXPECT_GT(continuations, 0u);
    EXPECT_EQ(result_of(entries[1]), static_cast<int64_t>(kFrames));
    EXPECT_EQ(result_of(entries[2]), kVersion);
    EXPECT_EQ(guest().frame_count, kFrames);
}

TEST_F(MulticallTest, FaultsEndTheBatch) {
    std::vector<MulticallEntry> entries(3, version_entry());
    {
        const fakes::FaultingRange range(&entries[1], sizeof(entries[1]),
                                         fakes::FaultingRange::Kind::kWrites);
        EXPECT_EQ(batch(entries), failure(Errno::kEFAULT));
    }
    EXPECT_EQ(result_of(entries[0]), kVersion);
    EXPECT_EQ(entries[2].result, kUntouched);
    EXPECT_EQ(call(guest(), Hypercall::kMulticall, {0xffff800000000000, 4}), failure(Errno::kEFAULT));
    EXPECT_EQ(call(guest(), Hypercall::kMulticall, {~uint64_t{0} - 8, 4}), failure(Errno::kEFAULT));
}

}  // namespace
}  // namespace torii::test
