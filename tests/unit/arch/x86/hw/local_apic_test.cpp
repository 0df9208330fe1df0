// The local APIC's modes that the machine tests have no CPU for, against registers of the test's own.
#include "arch/x86/hw/local_apic.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace torii::hw::test {
namespace {

constexpr ApicVectors kVectors{0xf0, 0xff};
constexpr uint64_t kEnabled = 1u << 11;
constexpr uint64_t kExtended = 1u << 10;

// A CPU's APIC. An access that the mode doesn't allow is a fault, as on hardware.
struct Registers {
    std::map<unsigned, uint32_t> memory;
    std::map<uint32_t, uint64_t> msrs{{0x1b, 0xfee00000}};
    std::vector<std::string> order;  // what was written, in order
    unsigned pending_reads = 0;      // how often the delivery status still says "pending"

    [[nodiscard]] uint64_t mode() const { return msrs.at(0x1b) & (kEnabled | kExtended); }
};

struct FakeAccess {
    Registers* registers = nullptr;
    uint32_t read_memory(unsigned offset) const {
        EXPECT_EQ(registers->mode(), kEnabled) << "memory is only there in xAPIC mode";
        if (offset == 0x300 && registers->pending_reads > 0) {
            --registers->pending_reads;
            return 1u << 12;
        }
        return registers->memory[offset];
    }
    void write_memory(unsigned offset, uint32_t value) const {
        EXPECT_EQ(registers->mode(), kEnabled);
        if (offset == 0x300) {
            EXPECT_EQ(registers->pending_reads, 0u) << "the last command is still on its way";
        }
        registers->memory[offset] = value;
        registers->order.push_back("memory " + std::to_string(offset));
    }
    uint64_t read_msr(uint32_t msr) const {
        if (msr >= 0x800) {
            EXPECT_EQ(registers->mode(), kEnabled | kExtended) << "these MSRs fault in xAPIC mode";
        }
        return registers->msrs[msr];
    }
    void write_msr(uint32_t msr, uint64_t value) const {
        if (msr >= 0x800) {
            EXPECT_EQ(registers->mode(), kEnabled | kExtended);
        }
        if (msr == 0x1b) {
            const uint64_t next = value & (kEnabled | kExtended);
            EXPECT_NE(next, kExtended) << "no such mode";
            EXPECT_FALSE(registers->mode() == 0 && next == (kEnabled | kExtended))
                << "x2APIC is reached from xAPIC only";
        }
        registers->msrs[msr] = value;
        registers->order.push_back("msr " + std::to_string(msr));
    }
    void fence() const { registers->order.emplace_back("fence"); }
};

class LocalApicTest : public testing::Test {
protected:
    using Apic = LocalApic<FakeAccess>;
    Registers registers_;
    Apic apic_{FakeAccess{&registers_}};

    void start(bool x2apic, bool deadline) {
        apic_.choose(x2apic, deadline);
        apic_.enable(kVectors);
    }
};

TEST_F(LocalApicTest, XapicIsSetUpByMemory) {
    start(false, false);
    EXPECT_FALSE(apic_.is_x2apic());
    EXPECT_EQ(registers_.mode(), kEnabled);
    EXPECT_EQ(registers_.memory[0xf0], 0x1ffu);
    EXPECT_EQ(registers_.memory[0x320], 0xf0u);
    EXPECT_EQ(registers_.memory[0x3e0], 0xbu);
    EXPECT_EQ(registers_.memory[0x360], 4u << 8) << "LINT1 brings NMIs";
    EXPECT_EQ(registers_.memory[0x350], 1u << 16) << "LINT0 is masked";
    registers_.memory[0x20] = 0x12000000;
    EXPECT_EQ(apic_.id(), 0x12u);
}

TEST_F(LocalApicTest, XapicWaitsForTheLastCommandAndWritesTheTargetFirst) {
    start(false, false);
    registers_.order.clear();
    registers_.pending_reads = 3;
    apic_.send(7, 0xf2);
    EXPECT_EQ(registers_.memory[0x310], 7u << 24);
    EXPECT_EQ(registers_.memory[0x300], 0xf2u);
    EXPECT_EQ(registers_.order, (std::vector<std::string>{"memory 784", "memory 768"}));
}

TEST_F(LocalApicTest, XapicReachesEightBitIds) {
    start(false, false);
    EXPECT_TRUE(apic_.reaches(254));
    EXPECT_FALSE(apic_.reaches(255)) << "that one names all";
    EXPECT_FALSE(apic_.reaches(256));
}

TEST_F(LocalApicTest, X2apicIsSetUpByMsrs) {
    start(true, false);
    EXPECT_TRUE(apic_.is_x2apic());
    EXPECT_EQ(registers_.mode(), kEnabled | kExtended);
    EXPECT_TRUE(registers_.memory.empty());
    EXPECT_EQ(registers_.msrs[0x80f], 0x1ffu);
    EXPECT_EQ(registers_.msrs[0x832], 0xf0u);
    EXPECT_EQ(registers_.msrs[0x83e], 0xbu);
    EXPECT_EQ(registers_.msrs[0x836], 4u << 8);
    registers_.msrs[0x802] = 0x12345;
    EXPECT_EQ(apic_.id(), 0x12345u);
    apic_.end_of_interrupt();
    EXPECT_EQ(registers_.msrs[0x80b], 0u);
    EXPECT_TRUE(apic_.reaches(8191));
}

TEST_F(LocalApicTest, X2apicSendsInOneFencedWrite) {
    start(true, false);
    registers_.order.clear();
    apic_.send(0x1234, Apic::kDeliverInit | Apic::kAssert);
    EXPECT_EQ(registers_.msrs[0x830], (uint64_t{0x1234} << 32) | 0x4500);
    EXPECT_EQ(registers_.order, (std::vector<std::string>{"fence", "msr 2096"}));
}

TEST_F(LocalApicTest, FirmwareThatHasX2apicOnLeavesNoChoice) {
    registers_.msrs[0x1b] |= kEnabled | kExtended;
    start(false, false);
    EXPECT_TRUE(apic_.is_x2apic());
    EXPECT_EQ(registers_.mode(), kEnabled | kExtended);
}

TEST_F(LocalApicTest, DeadlineModeComparesWithTheTsc) {
    start(true, true);
    EXPECT_EQ(registers_.msrs[0x832], (2u << 17) | 0xf0u);
    EXPECT_EQ(registers_.msrs.count(0x83e), 0u) << "no divider";
    apic_.set_deadline(123456789012345);
    EXPECT_EQ(registers_.msrs[0x6e0], 123456789012345u);
    apic_.set_deadline(0);
    EXPECT_EQ(registers_.msrs[0x6e0], 0u);
}

TEST_F(LocalApicTest, ByMemoryTheModeComesBeforeTheFirstDeadline) {
    start(false, true);
    EXPECT_EQ(registers_.memory[0x320], (2u << 17) | 0xf0u);
    EXPECT_EQ(registers_.order.back(), "fence");
}

}  // namespace
}  // namespace torii::hw::test
