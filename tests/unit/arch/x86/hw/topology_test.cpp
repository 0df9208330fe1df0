#include "arch/x86/hw/topology.h"

#include <gtest/gtest.h>

#include <map>

namespace torii::hw::test {
namespace {

struct Words {
    uint32_t a, b, c, d;
};
using Leaves = std::map<std::pair<uint32_t, uint32_t>, Words>;

Topology topology_of(const Leaves& leaves) {
    return read_topology([&](uint32_t leaf, uint32_t subleaf) {
        const auto found = leaves.find({leaf, subleaf});
        return found != leaves.end() ? found->second : Words{};
    });
}

constexpr uint32_t kManyThreads = 1u << 28;

TEST(TopologyTest, TheExtendedLeafNamesTheBits) {
    // Two threads a core, eight cores a package.
    const Topology found =
        topology_of({{{0, 0}, {0xd, 0, 0, 0}}, {{0xb, 0}, {1, 2, 0x100, 0}}, {{0xb, 1}, {4, 16, 0x201, 0}}});
    EXPECT_EQ(found.threads_per_core(), 2u);
    EXPECT_EQ(found.cores_per_package(), 8u);
    EXPECT_EQ(found.core_of(0x13), 1u);
    EXPECT_EQ(found.package_of(0x13), 1u);
    EXPECT_EQ(found.package_of(0xf), 0u);
}

TEST(TopologyTest, WithoutItTheCountsTell) {
    // AMD: four logical CPUs in a package, four cores (C is one less).
    const Topology amd = topology_of({{{0, 0}, {1, 0, 0, 0}},
                                      {{1, 0}, {0, 4u << 16, 0, kManyThreads}},
                                      {{0x80000000, 0}, {0x80000008, 0, 0, 0}},
                                      {{0x80000008, 0}, {0, 0, 3, 0}}});
    EXPECT_EQ(amd.threads_per_core(), 1u);
    EXPECT_EQ(amd.cores_per_package(), 4u);
    // Intel: eight logical CPUs, four cores by leaf 4.
    const Topology intel = topology_of(
        {{{0, 0}, {4, 0, 0, 0}}, {{1, 0}, {0, 8u << 16, 0, kManyThreads}}, {{4, 0}, {3u << 26, 0, 0, 0}}});
    EXPECT_EQ(intel.threads_per_core(), 2u);
    EXPECT_EQ(intel.cores_per_package(), 4u);
    EXPECT_EQ(intel.core_of(5), 2u);
}

TEST(TopologyTest, ALoneCpuIsAPackage) {
    const Topology found = topology_of({{{0, 0}, {1, 0, 0, 0}}});
    EXPECT_EQ(found.threads_per_core(), 1u);
    EXPECT_EQ(found.cores_per_package(), 1u);
    EXPECT_EQ(found.package_of(3), 3u);
    EXPECT_EQ(found.core_of(3), 0u);
}

TEST(TopologyTest, NonsenseIsNotBelieved) {
    const Topology wide = topology_of({{{0, 0}, {0xd, 0, 0, 0}}, {{0xb, 0}, {31, 2, 0x100, 0}}});
    EXPECT_EQ(wide.package_bits, 0u);
    const Topology swapped =
        topology_of({{{0, 0}, {0xd, 0, 0, 0}}, {{0xb, 0}, {5, 2, 0x100, 0}}, {{0xb, 1}, {2, 4, 0x201, 0}}});
    EXPECT_EQ(swapped.thread_bits, 0u);
    EXPECT_EQ(swapped.package_bits, 0u);
}

}  // namespace
}  // namespace torii::hw::test
