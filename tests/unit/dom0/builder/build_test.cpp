// The builder against a hypervisor in memory: what the new domain's first instruction would find.

#include "builder/build.h"

#include <gtest/gtest.h>
#include <torii/abi/grant_table.h>
#include <torii/abi/shared_info.h>
#include <torii/abi/start_info.h>
#include <torii/failure.h>

#include <cstring>

#include "unit/dom0/kit/fake_hypervisor.h"
#include "unit/dom0/kit/kernel_file.h"

namespace torii::dom0 {
namespace {

using test::FakeDomain;
using test::FakeHypervisor;
using test::KernelRecipe;
using test::TemporaryFolder;

constexpr uint64_t kPage = 4096;
constexpr uint64_t kFrameMask = 0x000FFFFFFFFFF000;

class Build : public ::testing::Test {
protected:
    BuiltDomain build(const KernelRecipe& recipe = {}) {
        request_.kernel_path = folder_.write("kernel", test::make_kernel(recipe));
        return run();
    }
    BuiltDomain run() {
        if (request_.memory_kib == 0) request_.memory_kib = 16 << 10;
        request_.command_line = "console=hvc0 quiet";
        Hypervisor hypervisor(fake_);
        return build_domain(
            hypervisor, request_, [](const std::string&, unsigned) {}, [](std::string_view) {});
    }

    // The page that the domain sees at `address`, and the entry that maps it.
    struct Seen {
        uint64_t mfn = 0;
        uint64_t entry = 0;
    };
    Seen look(const FakeDomain& domain, uint64_t address) {
        uint64_t table = domain.context->ctrlreg[3] >> 12;
        uint64_t entry = 0;
        for (int level = 4; level >= 1; level--) {
            const uint64_t index = address >> (12 + 9 * (level - 1)) & 511;
            std::memcpy(&entry, fake_.frame(table) + index * 8, 8);
            if ((entry & 1) == 0) return {};
            table = (entry & kFrameMask) >> 12;
        }
        return {table, entry};
    }
    template <typename T>
    T read(const FakeDomain& domain, uint64_t address) {
        T value{};
        const Seen seen = look(domain, address);
        EXPECT_NE(seen.mfn, 0u) << std::hex << address;
        if (seen.mfn != 0) std::memcpy(&value, fake_.frame(seen.mfn) + address % kPage, sizeof(value));
        return value;
    }

    TemporaryFolder folder_;
    FakeHypervisor fake_;
    BuildRequest request_;
};

TEST_F(Build, DomainFindsTheStartOfDay) {
    request_.vcpus = 3;
    request_.ramdisk_path = folder_.write("ramdisk", "ramdisk content");
    const BuiltDomain built = build();
    FakeDomain& domain = fake_.domain(built.domain.raw());
    ASSERT_TRUE(domain.context);
    EXPECT_TRUE(domain.paused);
    EXPECT_EQ(domain.vcpus, 3u);
    EXPECT_EQ(domain.frames.size(), 16u << 8);
    EXPECT_EQ(domain.pinned, domain.context->ctrlreg[3] >> 12);
    EXPECT_EQ(domain.context->user_regs.rip, 0xFFFFFFFF80100010);

    const uint64_t info_at = domain.context->user_regs.rsi;
    const auto info = read<abi::StartInfo>(domain, info_at);
    EXPECT_STREQ(info.magic, "xen-3.0-x86_64");
    EXPECT_EQ(info.nr_pages, 16u << 8);
    EXPECT_EQ(info.shared_info, domain.shared_info * kPage);
    EXPECT_STREQ(info.cmd_line, "console=hvc0 quiet");
    EXPECT_EQ(info.store_mfn, built.xenstore_frame.raw());
    EXPECT_EQ(info.store_evtchn, built.xenstore_port.raw());
    EXPECT_EQ(info.console.dom_u.mfn, built.console_frame.raw());
    EXPECT_EQ(info.console.dom_u.evtchn, built.console_port.raw());
    EXPECT_EQ(look(domain, info.pt_base).mfn, domain.pinned);
    EXPECT_EQ(info.flags, abi::kStartVirtualP2m | abi::kStartModuleIsPfn);

    EXPECT_EQ(info.mod_len, 15u);
    EXPECT_EQ(std::memcmp(fake_.frame(domain.frames.at(info.mod_start)), "ramdisk content", 16), 0);

    const auto shared = reinterpret_cast<abi::SharedInfo*>(fake_.frame(domain.shared_info));
    for (const auto& vcpu : shared->vcpu_info)
        EXPECT_EQ(vcpu.evtchn_upcall_mask, 1);
}

TEST_F(Build, KernelIsLoadedAndItsRestZeroed) {
    const KernelRecipe recipe;
    const BuiltDomain built = build(recipe);
    const FakeDomain& domain = fake_.domain(built.domain.raw());
    const uint64_t base = recipe.virt_base + recipe.physical;
    for (uint64_t offset = 0; offset < recipe.text_bytes; offset += 97) {
        ASSERT_EQ(read<char>(domain, base + offset), test::text_byte(offset)) << offset;
    }
    for (uint64_t offset = 0; offset < recipe.zero_bytes; offset += 97) {
        ASSERT_EQ(read<char>(domain, base + recipe.text_bytes + offset), 0);
    }
}

TEST_F(Build, P2mNamesEveryFrame) {
    const BuiltDomain built = build();
    const FakeDomain& domain = fake_.domain(built.domain.raw());
    const auto info = read<abi::StartInfo>(domain, domain.context->user_regs.rsi);
    EXPECT_EQ(info.mfn_list, 0x8000000000);
    for (const auto& [pfn, mfn] : domain.frames) {
        ASSERT_EQ(read<uint64_t>(domain, info.mfn_list + pfn * 8), mfn);
    }
    EXPECT_EQ(look(domain, info.mfn_list).mfn, domain.frames.at(info.first_p2m_pfn));
    // Linux goes on in the P2M's last page: it must be writable.
    EXPECT_NE(look(domain, info.mfn_list).entry & 2, 0u);
}

TEST_F(Build, PageTablesAreReadOnlyAndTheRestIsNot) {
    const BuiltDomain built = build();
    const FakeDomain& domain = fake_.domain(built.domain.raw());
    const auto info = read<abi::StartInfo>(domain, domain.context->user_regs.rsi);
    for (uint64_t i = 0; i < info.nr_pt_frames; i++) {
        EXPECT_EQ(look(domain, info.pt_base + i * kPage).entry & 2, 0u);
    }
    EXPECT_NE(look(domain, domain.context->user_regs.rsi).entry & 2, 0u);
    EXPECT_NE(look(domain, domain.context->user_regs.rsp - 8).entry & 2, 0u);
}

TEST_F(Build, RingsAreGrantedToDom0) {
    const BuiltDomain built = build();
    const FakeDomain& domain = fake_.domain(built.domain.raw());
    const auto* grants = reinterpret_cast<abi::GrantEntryV1*>(fake_.frame(domain.grant_frame));
    EXPECT_EQ(grants[0].frame, built.console_frame.raw());
    EXPECT_EQ(grants[1].frame, built.xenstore_frame.raw());
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(grants[i].flags, abi::kGtfPermitAccess);
        EXPECT_EQ(grants[i].domid, 0);
    }
}

TEST_F(Build, HypercallPageIsFilledByTheHypervisor) {
    KernelRecipe recipe;
    recipe.hypercall_page = true;
    const BuiltDomain built = build(recipe);
    const FakeDomain& domain = fake_.domain(built.domain.raw());
    EXPECT_EQ(domain.hypercall_page, look(domain, recipe.virt_base + recipe.physical + kPage).mfn);
}

TEST_F(Build, KernelWithoutWishes) {
    KernelRecipe recipe;
    recipe.p2m = false;
    recipe.module_is_pfn = false;
    request_.ramdisk_path = folder_.write("ramdisk", std::string(10000, 'r'));
    const BuiltDomain built = build(recipe);
    const FakeDomain& domain = fake_.domain(built.domain.raw());
    const auto info = read<abi::StartInfo>(domain, domain.context->user_regs.rsi);
    EXPECT_EQ(read<char>(domain, info.mod_start + 9999), 'r');
    EXPECT_EQ(read<char>(domain, info.mod_start + 10000), 0);
    EXPECT_EQ(read<uint64_t>(domain, info.mfn_list + 8 * 5), domain.frames.at(5));
}

TEST_F(Build, ScatteredMemoryWillDo) {
    fake_.no_large_extents = true;
    request_.memory_kib = (16 << 10) + 4 * 37;
    const BuiltDomain built = build();
    const FakeDomain& domain = fake_.domain(built.domain.raw());
    EXPECT_EQ(domain.frames.size(), (16u << 8) + 37);
    const auto info = read<abi::StartInfo>(domain, domain.context->user_regs.rsi);
    for (const auto& [pfn, mfn] : domain.frames) {
        ASSERT_EQ(read<uint64_t>(domain, info.mfn_list + pfn * 8), mfn);
    }
}

TEST_F(Build, TooLittleMachineMemoryIsToldAndLeavesNothing) {
    const uint64_t before = fake_.free_frames();
    request_.memory_kib = (before + 100) * 4;
    try {
        build();
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.code(), ErrorCode::kNoMemory);
        EXPECT_NE(std::string(failure.what()).find("MiB are missing"), std::string::npos) << failure.what();
    }
    EXPECT_TRUE(fake_.domains.empty());
    EXPECT_EQ(fake_.free_frames(), before);
}

// Each hypercall in turn is refused: whatever was there by then is gone afterwards.
TEST_F(Build, AFailureAnywhereLeavesNothing) {
    const uint64_t before = fake_.free_frames();
    request_.ramdisk_path = folder_.write("ramdisk", "ramdisk content");
    int failures = 0;
    for (int64_t step = 1; step < 100; step++) {
        fake_.calls_made = 0;
        fake_.fail_call = step;
        fake_.fail_error = step % 2 == 0 ? abi::Errno::kEINVAL : abi::Errno::kEPERM;
        try {
            const BuiltDomain built = build();
            fake_.fail_call = 0;
            Hypervisor(fake_).destroy(built.domain);
            if (fake_.calls_made <= step) break;  // it was not reached any more
        } catch (const Failure& failure) {
            failures++;
            EXPECT_NE(std::string(failure.what()), "");
        }
        EXPECT_TRUE(fake_.domains.empty()) << step;
        EXPECT_EQ(fake_.free_frames(), before) << step;
    }
    EXPECT_GT(failures, 8);
}

TEST_F(Build, MissingFilesAreNamed) {
    request_.kernel_path = folder_.file("nothing");
    try {
        run();
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.code(), ErrorCode::kNoKernel);
        EXPECT_NE(std::string(failure.what()).find("nothing"), std::string::npos);
    }
    request_.ramdisk_path = folder_.file("absent");
    EXPECT_THROW(build(), Failure);
    request_.ramdisk_path = folder_.write("empty", "");
    EXPECT_THROW(build(), Failure);
    EXPECT_EQ(fake_.calls_made, 0);
}

}  // namespace
}  // namespace torii::dom0
