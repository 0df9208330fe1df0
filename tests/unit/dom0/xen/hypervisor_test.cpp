#include "xen/hypervisor.h"

#include <gtest/gtest.h>
#include <torii/failure.h>

#include "unit/dom0/kit/fake_hypervisor.h"

namespace torii::dom0 {
namespace {

TEST(Hypervisor, ListsMoreDomainsThanFitOneCall) {
    test::FakeHypervisor fake;
    for (int i = 0; i < 200; i++)
        fake.add_domain(Uuid{static_cast<uint8_t>(i)}, 1);
    Hypervisor hypervisor(fake);
    const auto domains = hypervisor.domains();
    ASSERT_EQ(domains.size(), 200u);
    for (size_t i = 0; i < domains.size(); i++)
        EXPECT_EQ(domains[i].domain.raw(), i + 1);
    EXPECT_EQ(hypervisor.domain(DomId(7))->handle[0], 6);
    EXPECT_FALSE(hypervisor.domain(DomId(999)));
}

TEST(Hypervisor, ReadsALongLogWholeAndItsEnd) {
    test::FakeHypervisor fake;
    for (int i = 0; i < 10000; i++)
        fake.log += "line " + std::to_string(i) + "\n";
    Hypervisor hypervisor(fake);
    EXPECT_EQ(hypervisor.read_log(false, 1 << 20), fake.log);
    EXPECT_EQ(hypervisor.read_log(false, 100), fake.log.substr(fake.log.size() - 100));
    hypervisor.read_log(true, 1 << 20);
    EXPECT_EQ(fake.log, "");
}

TEST(Hypervisor, CountersOrACleanRefusal) {
    test::FakeHypervisor fake;
    Hypervisor hypervisor(fake);
    const auto counters = hypervisor.counters();
    ASSERT_EQ(counters.size(), 2u);
    EXPECT_EQ(counters[0].name, "hypercalls");
    EXPECT_EQ(counters[0].values, (std::vector<uint64_t>{10, 11}));
    EXPECT_EQ(counters[1].values, (std::vector<uint64_t>{12}));
    fake.has_counters = false;
    try {
        hypervisor.counters();
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.code(), ErrorCode::kNotSupported);
    }
}

TEST(Hypervisor, DestroyOfNobodyIsNoFailure) {
    test::FakeHypervisor fake;
    Hypervisor hypervisor(fake);
    EXPECT_NO_THROW(hypervisor.destroy(DomId(5)));
    EXPECT_THROW(hypervisor.pause(DomId(5)), Failure);
}

}  // namespace
}  // namespace torii::dom0
