// Random calls of every number over a control domain and two guests that come and go (kit/random/world.h).
// After each call a recount from scratch must agree with the frame table and with what the CPUs remember.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "core/call/dispatch.h"
#include "core/call/handlers.h"
#include "hypercall_table.h"
#include "kit/random/world.h"

namespace torii::test {
namespace {

uint64_t from_environment(const char* name, uint64_t otherwise) {
    const char* const text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

using Counter = unsigned long long;

void print(const RandomWorld& world) {
    for (const auto& [name, tally] : world.tallies) {
        std::printf("%-30s %8llu calls, %8llu succeeded\n", name.c_str(), static_cast<Counter>(tally.calls),
                    static_cast<Counter>(tally.succeeded));
    }
    std::printf(
        "%llu calls stopped half-way; %llu domains ended, %llu of them while others used their frames\n",
        static_cast<Counter>(world.unfinished_calls), static_cast<Counter>(world.domains_ended),
        static_cast<Counter>(world.ended_while_in_use));
}

// Every call was made, and each that isn't refused on principle has succeeded.
void expect_all_hit(const RandomWorld& world) {
    uint64_t calls = 0;
    uint64_t succeeded = 0;
    for (uint32_t number = 0; number < abi::kHypercallCount; ++number) {
        const HypercallRow& row = row_of(number);
        const Tally& tally = world.by_number[number];
        calls += tally.calls;
        succeeded += tally.succeeded;
        if (std::string_view(row.name) == HypercallRow{}.name) continue;  // nothing has that number
        EXPECT_GT(tally.calls, 0u) << row.name;
        if (row.handler == call::not_implemented || row.handler == call::xenpmu_op) continue;
        EXPECT_GT(tally.succeeded, 0u) << row.name;
    }
    EXPECT_GE(succeeded * 2, calls) << "too few valid inputs";
    for (const auto& [name, tally] : world.tallies) {
        const bool on_principle = name == "refused" || name == "add_to_physmap";
        EXPECT_TRUE(on_principle || tally.succeeded > 0) << name;
    }
    for (const FrameType type : {FrameType::kWritable, FrameType::kL1, FrameType::kL2, FrameType::kL3,
                                 FrameType::kL4, FrameType::kSegDesc}) {
        const auto seen = world.types.find(type);
        EXPECT_TRUE(seen != world.types.end()) << "type " << static_cast<unsigned>(type);
    }
    EXPECT_GT(world.unfinished_calls, 0u);
    EXPECT_GT(world.domains_ended, 0u);
    EXPECT_GT(world.ended_while_in_use, 0u);
}

// TORII_RANDOM_CALLS and TORII_RANDOM_SEED set the length and the beginning of another run; with
// TORII_RANDOM_ALOUD it says each step.
TEST(RandomCalls, RecountAgreesAfterEach) {
    const uint64_t calls = from_environment("TORII_RANDOM_CALLS", 100'000);
    const uint64_t seed = from_environment("TORII_RANDOM_SEED", 2026);
    std::printf("%llu calls, seed %llu\n", static_cast<Counter>(calls), static_cast<Counter>(seed));
    const bool aloud = std::getenv("TORII_RANDOM_ALOUD") != nullptr;
    RandomChooser chooser(seed);
    RandomWorld world(chooser);
    for (uint64_t call = 0; call < calls; ++call) {
        world.step();
        if (aloud) std::fprintf(stderr, "%llu: %s\n", static_cast<Counter>(call), world.last.c_str());
        for (const std::string& finding : world.findings())
            ADD_FAILURE() << finding;
        ASSERT_FALSE(HasFailure()) << "seed " << seed << ", call " << call << ": " << world.last;
        if (call % 64 == 0) world.note_types();
    }
    print(world);
    expect_all_hit(world);
    EXPECT_TRUE(world.end()) << "frames are lost";
}

}  // namespace
}  // namespace torii::test
