#include "builder/plan.h"

#include <gtest/gtest.h>
#include <torii/abi/mmu.h>
#include <torii/failure.h>

#include <map>
#include <set>

namespace torii::dom0 {
namespace {

constexpr uint64_t kPage = 4096;

// A kernel like Linux's: 16 MiB up, its P2M and ramdisk outside the initial mapping.
PlanRequest linux_request(uint64_t mebibytes, uint64_t ramdisk_bytes = 5 << 20) {
    PlanRequest request;
    request.kernel.virt_base = 0xFFFFFFFF80000000;
    request.kernel.segments = {{0, 1 << 20, 1 << 20, 0xFFFFFFFF81000000},
                               {0, 100, 30 << 20, 0xFFFFFFFF82000000}};
    request.kernel.entry = 0xFFFFFFFF82000010;
    request.kernel.p2m_base = 0x8000000000;
    request.kernel.module_is_pfn = true;
    request.memory_pages = mebibytes * 256;
    request.ramdisk_bytes = ramdisk_bytes;
    return request;
}

// Every virtual page that the plan's tables map, by walking them as the CPU does.
std::map<uint64_t, uint64_t> walk(const Plan& plan) {
    std::map<uint64_t, uint64_t> mapped;
    const auto visit = [&](auto& self, Pfn frame, unsigned level, uint64_t base) -> void {
        for (const PageTable& table : plan.tables) {
            if (table.frame != frame) continue;
            EXPECT_EQ(table.level, level);
            EXPECT_LE(table.first_entry + table.entry_count, 512u);
            for (unsigned i = 0; i < table.entry_count; i++) {
                const uint64_t span = kPage << (9 * (level - 1));
                uint64_t address = base + (table.first_entry + i) * span;
                if (level == 4 && table.first_entry + i >= 256) address |= 0xFFFF000000000000;
                if (level == 1) {
                    EXPECT_TRUE(mapped.emplace(address, table.first_target + i).second)
                        << std::hex << address;
                } else {
                    self(self, plan.tables[table.first_target + i].frame, level - 1, address);
                }
            }
        }
    };
    visit(visit, plan.page_tables.first, 4, 0);
    return mapped;
}

void expect_region(const Plan& plan, const std::map<uint64_t, uint64_t>& mapped) {
    for (uint64_t pfn = 0; pfn < plan.mapped.count; pfn++) {
        const auto found = mapped.find(plan.mapped_virtual + pfn * kPage);
        ASSERT_NE(found, mapped.end()) << pfn;
        ASSERT_EQ(found->second, pfn);
    }
}

TEST(Plan, LinuxGetsOneRegionAndItsOwnP2m) {
    const Plan plan = make_plan(linux_request(256));
    const auto mapped = walk(plan);
    expect_region(plan, mapped);
    EXPECT_EQ(plan.kernel.first, Pfn(0x1000));
    EXPECT_EQ(plan.p2m_virtual, 0x8000000000);
    for (uint64_t i = 0; i < plan.p2m.count; i++) {
        EXPECT_EQ(mapped.at(0x8000000000 + i * kPage), plan.p2m.first.raw() + i);
    }
    EXPECT_EQ(mapped.size(), plan.mapped.count + plan.p2m.count);
    EXPECT_FALSE(plan.ramdisk_mapped);
    EXPECT_GE(plan.ramdisk.first.raw(), plan.mapped.count);
    EXPECT_EQ(plan.p2m.count, 256u * 256 * 8 / kPage);
    EXPECT_EQ(plan.p2m_tables.first, plan.p2m.end());
    EXPECT_EQ(plan.p2m_tables.count, 3u);  // one of each level below the shared top
}

TEST(Plan, RegionEndsAlignedWithSlack) {
    const Plan plan = make_plan(linux_request(256));
    EXPECT_EQ(plan.mapped.count * kPage % (4 << 20), 0u);
    EXPECT_GE((plan.mapped.count - plan.boot_stack.raw() - 1) * kPage, 512u << 10);
    EXPECT_EQ(plan.xenstore, plan.start_info.plus(1));
    EXPECT_EQ(plan.console, plan.start_info.plus(2));
    EXPECT_EQ(plan.boot_stack, plan.page_tables.end());
    EXPECT_EQ(plan.boot_stack_top_virtual, plan.mapped_virtual + (plan.boot_stack.raw() + 1) * kPage);
}

TEST(Plan, NothingOverlaps) {
    for (const uint64_t mebibytes : {96ull, 256ull, 4096ull, 70000ull}) {
        const Plan plan = make_plan(linux_request(mebibytes));
        std::set<uint64_t> used;
        uint64_t sum = 0;
        for (const FrameRange& range :
             {plan.kernel, plan.ramdisk, plan.p2m, plan.p2m_tables, plan.page_tables,
              FrameRange{plan.start_info, 3}, FrameRange{plan.boot_stack, 1}}) {
            for (uint64_t i = 0; i < range.count; i++)
                used.insert(range.first.raw() + i);
            sum += range.count;
        }
        EXPECT_EQ(used.size(), sum);
        EXPECT_LT(*used.rbegin(), plan.memory_pages);
        EXPECT_EQ(plan.needed_pages, std::max(*used.rbegin() + 1, plan.mapped.count));
    }
}

TEST(Plan, EveryTableHasItsOwnFrame) {
    const Plan plan = make_plan(linux_request(70000));  // a P2M of 140 MB: many tables
    std::map<uint64_t, unsigned> level_of;
    for (const PageTable& table : plan.tables) {
        EXPECT_TRUE(plan.is_page_table(table.frame));
        const auto [found, fresh] = level_of.emplace(table.frame.raw(), table.level);
        EXPECT_EQ(found->second, table.level);
    }
    EXPECT_EQ(level_of.size(), plan.page_tables.count + plan.p2m_tables.count);
    EXPECT_EQ(walk(plan).size(), plan.mapped.count + plan.p2m.count);
}

TEST(Plan, KernelWithoutWishesHasAllInTheRegion) {
    PlanRequest request = linux_request(256);
    request.kernel.p2m_base.reset();
    request.kernel.module_is_pfn = false;
    const Plan plan = make_plan(request);
    const auto mapped = walk(plan);
    expect_region(plan, mapped);
    EXPECT_EQ(mapped.size(), plan.mapped.count);
    EXPECT_TRUE(plan.ramdisk_mapped);
    EXPECT_EQ(mapped.at(plan.ramdisk_virtual), plan.ramdisk.first.raw());
    EXPECT_EQ(mapped.at(plan.p2m_virtual), plan.p2m.first.raw());
    EXPECT_LT(plan.p2m.end().raw(), plan.mapped.count);
    EXPECT_EQ(plan.p2m_tables.count, 0u);
}

TEST(Plan, KernelAtVirtualAddressZero) {
    PlanRequest request = linux_request(64);
    request.kernel.virt_base = 0;
    request.kernel.segments = {{0, 1 << 20, 1 << 20, 0}};
    request.kernel.entry = 0;
    request.kernel.p2m_base.reset();
    const Plan plan = make_plan(request);
    expect_region(plan, walk(plan));
    EXPECT_EQ(plan.kernel.first, Pfn(0));
}

TEST(Plan, SmallestMemoryIsEnoughAndOnePageLessIsNot) {
    const uint64_t needed = make_plan(linux_request(256)).needed_pages;
    PlanRequest request = linux_request(256);
    // Less memory has a smaller P2M, so the least is found by asking.
    request.memory_pages = needed;
    while (make_plan(request).needed_pages < request.memory_pages) {
        request.memory_pages = make_plan(request).needed_pages;
    }
    EXPECT_NO_THROW(make_plan(request));
    request.memory_pages--;
    try {
        make_plan(request);
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.code(), ErrorCode::kNoMemory);
        EXPECT_NE(std::string(failure.what()).find("need at least"), std::string::npos);
    }
}

ErrorCode refusal(const PlanRequest& request) {
    try {
        make_plan(request);
        return ErrorCode::kOk;
    } catch (const Failure& failure) {
        return failure.code();
    }
}

TEST(Plan, ImpossibleKernelsAreRefused) {
    PlanRequest request = linux_request(256);
    request.kernel.segments.clear();
    EXPECT_EQ(refusal(request), ErrorCode::kNoKernel);

    request = linux_request(256);
    request.kernel.virt_base += kPage;
    EXPECT_EQ(refusal(request), ErrorCode::kNoKernel);

    request = linux_request(256);
    request.kernel.virt_base = 0x0000900000000000;  // not canonical
    EXPECT_EQ(refusal(request), ErrorCode::kNoKernel);

    request = linux_request(256);
    request.kernel.segments[1].virtual_address = 0x1000;  // below the base
    EXPECT_EQ(refusal(request), ErrorCode::kNoKernel);

    request = linux_request(256);
    request.kernel.segments[1].memory_bytes = 2ull << 30;
    EXPECT_EQ(refusal(request), ErrorCode::kNoKernel);

    request = linux_request(256);
    request.kernel.entry = 0x1000;
    EXPECT_EQ(refusal(request), ErrorCode::kNoKernel);

    request = linux_request(256);
    request.kernel.p2m_base = abi::kHypervisorVirtStart;
    EXPECT_EQ(refusal(request), ErrorCode::kNoKernel);

    request = linux_request(256);
    request.kernel.p2m_base = 0x8000000001;
    EXPECT_EQ(refusal(request), ErrorCode::kNoKernel);

    request = linux_request(256);
    request.kernel.virt_base = abi::kHypervisorVirtStart;
    for (auto& segment : request.kernel.segments)
        segment.virtual_address = abi::kHypervisorVirtStart;
    request.kernel.segments.resize(1);
    request.kernel.entry = abi::kHypervisorVirtStart;
    EXPECT_EQ(refusal(request), ErrorCode::kNoKernel);

    request = linux_request(256);  // the P2M inside the region's own addresses
    request.kernel.p2m_base = request.kernel.virt_base;
    EXPECT_EQ(refusal(request), ErrorCode::kNoKernel);
}

TEST(Plan, HugeRamdiskIsAQuestionOfMemory) {
    EXPECT_EQ(refusal(linux_request(256, 1ull << 30)), ErrorCode::kNoMemory);
    EXPECT_EQ(refusal(linux_request(2048, 1ull << 30)), ErrorCode::kOk);
}

}  // namespace
}  // namespace torii::dom0
