#include "builder/kernel_image.h"

#include <gtest/gtest.h>
#include <torii/failure.h>

#include "unit/dom0/kit/kernel_file.h"

namespace torii::dom0 {
namespace {

using test::KernelRecipe;
using test::TemporaryFolder;

class Image : public ::testing::Test {
protected:
    KernelImage open(const std::string& content) {
        return KernelImage(folder_.write("kernel", content),
                           [this](unsigned percent) { percent_ = percent; });
    }
    // The sentence of the refusal.
    std::string refusal(const std::string& content) {
        try {
            open(content);
            return "";
        } catch (const Failure& failure) {
            EXPECT_EQ(failure.code(), ErrorCode::kNoKernel);
            EXPECT_NE(std::string(failure.what()).find("kernel"), std::string::npos);
            return failure.what();
        }
    }
    void expect_good(const KernelImage& image) {
        const KernelRecipe recipe;
        const KernelDescription& kernel = image.description();
        EXPECT_EQ(kernel.virt_base, recipe.virt_base);
        EXPECT_EQ(kernel.entry, recipe.virt_base + recipe.physical + 0x10);
        EXPECT_EQ(kernel.p2m_base, 0x8000000000);
        EXPECT_TRUE(kernel.module_is_pfn);
        ASSERT_EQ(kernel.segments.size(), 1u);
        EXPECT_EQ(kernel.segments[0].virtual_address, recipe.virt_base + recipe.physical);
        EXPECT_EQ(kernel.segments[0].memory_bytes, recipe.text_bytes + recipe.zero_bytes);
        std::vector<std::byte> text(recipe.text_bytes);
        image.read(kernel.segments[0].file_offset, text);
        for (size_t i = 0; i < text.size(); i += 101) {
            ASSERT_EQ(static_cast<char>(text[i]), test::text_byte(i));
        }
    }

    TemporaryFolder folder_;
    unsigned percent_ = 0;
};

TEST_F(Image, PlainElf) {
    expect_good(open(test::make_kernel()));
}

TEST_F(Image, BootImagesOfEachPacking) {
    const std::string elf = test::make_kernel();
    const auto size = static_cast<uint32_t>(elf.size());
    expect_good(open(test::make_boot_image(test::pack_xz(elf), size)));
    EXPECT_EQ(percent_, 100u);
    expect_good(open(test::make_boot_image(test::pack_zstd(elf), size)));
    expect_good(open(test::make_boot_image(test::pack_lz4(elf), size)));
    expect_good(open(test::make_boot_image(test::pack_gzip(elf), size, false)));
    expect_good(open(test::make_boot_image(elf, 0, false)));
}

TEST_F(Image, PackedElfWithoutABootImage) {
    const std::string elf = test::make_kernel();
    expect_good(open(test::pack_xz(elf)));
    expect_good(open(test::pack_gzip(elf)));
    expect_good(open(test::pack_zstd(elf)));
}

TEST_F(Image, NotAKernel) {
    EXPECT_NE(refusal("#!/bin/sh\necho no kernel\n").find("neither an ELF"), std::string::npos);
    EXPECT_NE(refusal("").find("empty"), std::string::npos);
    EXPECT_NE(refusal("BZh91AY").find("bzip2"), std::string::npos);
    EXPECT_THROW(KernelImage(folder_.path().string(), [](unsigned) {}), Failure);
}

TEST_F(Image, NoEntryForParavirtualDomains) {
    KernelRecipe recipe;
    recipe.notes = false;
    EXPECT_NE(refusal(test::make_kernel(recipe)).find("CONFIG_XEN_PV"), std::string::npos);
}

TEST_F(Image, TruncatedAnywhereIsRefused) {
    const std::string elf = test::make_kernel();
    const auto size = static_cast<uint32_t>(elf.size());
    for (const std::string& whole :
         {elf, test::make_boot_image(test::pack_xz(elf), size),
          test::make_boot_image(test::pack_zstd(elf), size), test::make_boot_image(test::pack_lz4(elf), size),
          test::make_boot_image(test::pack_gzip(elf), size, false)}) {
        for (size_t length = 0; length + 15 < whole.size(); length += 1 + whole.size() / 50) {
            EXPECT_NE(refusal(whole.substr(0, length)), "") << length;
        }
    }
}

TEST_F(Image, DamagedStreamsAreRefusedOrTheirDamageIsHarmless) {
    const std::string elf = test::make_kernel();
    const auto size = static_cast<uint32_t>(elf.size());
    for (const std::string& packed : {test::pack_xz(elf), test::pack_gzip(elf)}) {  // those with a check sum
        for (size_t at = 20; at + 8 < packed.size(); at += 1 + packed.size() / 40) {
            std::string damaged = packed;
            damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
            EXPECT_NE(refusal(test::make_boot_image(damaged, size)), "") << at;
        }
    }
}

TEST_F(Image, ALieAboutTheSizeIsFound) {
    const std::string elf = test::make_kernel();
    const auto size = static_cast<uint32_t>(elf.size());
    EXPECT_NE(refusal(test::make_boot_image(test::pack_xz(elf), size - 1)).find("longer than"),
              std::string::npos);
    EXPECT_NE(refusal(test::make_boot_image(test::pack_zstd(elf), size / 2)), "");
    EXPECT_NE(refusal(test::make_boot_image(test::pack_lz4(elf), size / 2)), "");
    EXPECT_NE(refusal(test::make_boot_image(test::pack_xz(elf), 0xFFFFFFFF)).find("claims"),
              std::string::npos);
}

TEST_F(Image, AFileThatShrinksIsNoticed) {
    const std::string path = folder_.write("kernel", test::make_kernel());
    const KernelImage image(path, [](unsigned) {});
    std::filesystem::resize_file(path, 5000);
    std::vector<std::byte> text(9000);
    EXPECT_THROW(image.read(image.description().segments[0].file_offset, text), Failure);
}

}  // namespace
}  // namespace torii::dom0
