// multicall.

#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

abi::MulticallEntry version_call() {
    return {static_cast<uint64_t>(abi::Hypercall::kXenVersion),
            0,
            {static_cast<uint64_t>(abi::VersionOp::kVersion)}};
}

}  // namespace

GUEST_TEST(multicall_results, "Each entry holds its own result, refusals included") {
    abi::FeatureInfo features{};
    abi::MulticallEntry entries[4] = {version_call(), version_call(), version_call(), version_call()};
    entries[1].args[0] = kNeverMapped;
    entries[2].args[0] = static_cast<uint64_t>(abi::VersionOp::kGetFeatures);
    entries[2].args[1] = register_value(&features);
    CHECK_SUCCEEDS(multicall(entries, 4));
    CHECK_EQUAL(entries[0].result, 4u << 16 | 17);
    CHECK_EQUAL(entries[1].result, abi::negated(abi::Errno::kENOSYS));
    CHECK_EQUAL(entries[2].result, 0u);
    CHECK(features.submap != 0);
    CHECK_EQUAL(entries[3].result, 4u << 16 | 17);
}

GUEST_TEST(multicall_many, "A long batch is done whole") {
    static abi::MulticallEntry entries[500];
    for (abi::MulticallEntry& entry : entries) {
        entry = version_call();
    }
    CHECK_SUCCEEDS(multicall(entries, 500));
    for (const abi::MulticallEntry& entry : entries) {
        if (!CHECK_EQUAL(entry.result, 4u << 16 | 17)) return;
    }
    CHECK_SUCCEEDS(multicall(entries, 0));
}

GUEST_TEST(multicall_unknown, "Unassigned numbers inside a batch are refused alone") {
    abi::MulticallEntry entries[2] = {version_call(), version_call()};
    entries[0].op = 1000;
    CHECK_SUCCEEDS(multicall(entries, 2));
    CHECK_EQUAL(entries[0].result, abi::negated(abi::Errno::kENOSYS));
    CHECK_EQUAL(entries[1].result, 4u << 16 | 17);
}

GUEST_TEST(multicall_nested, "A batch inside a batch is refused or done, and the rest goes on") {
    abi::MulticallEntry inner = version_call();
    abi::MulticallEntry entries[2] = {version_call(), version_call()};
    entries[0].op = static_cast<uint64_t>(abi::Hypercall::kMulticall);
    entries[0].args[0] = register_value(&inner);
    entries[0].args[1] = 1;
    CHECK_SUCCEEDS(multicall(entries, 2));
    CHECK_EQUAL(entries[0].result, abi::negated(abi::Errno::kEINVAL));
    CHECK_EQUAL(entries[1].result, 4u << 16 | 17);
}

GUEST_TEST(multicall_unreadable, "A list that cannot be read is refused") {
    CHECK_FAILS(hypercall(abi::Hypercall::kMulticall, kNeverMapped, 1), kEFAULT);
}
