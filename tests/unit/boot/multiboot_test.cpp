#include "boot/multiboot.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace torii::boot::test {
namespace {

constexpr uint64_t kInformation = 0x1000;

// What a loader writes: Multiboot 2 tags behind each other.
class Loader {
public:
    Loader() : memory_(0x10000) {}

    template <class T>
    Loader& put(uint64_t address, const T& value) {
        memcpy(memory_.data() + address, &value, sizeof(value));
        return *this;
    }
    Loader& put_text(uint64_t address, const std::string& text) {
        memcpy(memory_.data() + address, text.c_str(), text.size() + 1);
        return *this;
    }
    // The content follows the type and the size.
    Loader& tag(uint32_t type, const std::string& content) {
        put(kInformation + size_, type);
        put(kInformation + size_ + 4, static_cast<uint32_t>(content.size() + 8));
        memcpy(memory_.data() + kInformation + size_ + 8, content.data(), content.size());
        size_ = (size_ + 8 + content.size() + 7) & ~size_t{7};
        put(kInformation, static_cast<uint32_t>(size_ + 8));
        return *this;
    }
    LoaderFacts read(uint32_t magic = kMultiboot2, uint64_t at = kInformation) {
        map = {};
        MemoryMapBuilder builder(map);
        return read_multiboot(magic, at, LoaderMemory(memory_.data(), memory_.size()), builder);
    }
    std::vector<unsigned char>& memory() { return memory_; }
    [[nodiscard]] size_t size() const { return size_; }

    MachineMemoryMap map{};

private:
    std::vector<unsigned char> memory_;
    size_t size_ = 8;
};

template <class... Parts>
std::string pack(const Parts&... parts) {
    std::string bytes;
    (bytes.append(reinterpret_cast<const char*>(&parts), sizeof(parts)), ...);
    return bytes;
}
std::string map_tag() {
    return pack(uint32_t{24}, uint32_t{0}, uint64_t{0x100000}, uint64_t{0x400000}, uint32_t{1}, uint32_t{0});
}
std::string efi_map_tag() {
    const EfiDescriptor ram{7, 0, 0x200000, 0, 256, kEfiWriteBack};
    return pack(uint32_t{sizeof(ram)}, uint32_t{1}, ram);
}

TEST(MultibootTest, AnotherMagicIsAProblem) {
    EXPECT_NE(Loader().read(0x12345678).problem, nullptr);
}

TEST(MultibootTest, Version2) {
    Loader loader;
    loader.tag(1, std::string("console=com1 loglvl=all\0", 24))
        .tag(3, pack(0x4000u, 0x5000u) + std::string("root=/dev/sda\0", 14));
    loader.tag(3, pack(0x6000u, 0x6001u) + std::string("\0", 1)).tag(6, map_tag());
    const LoaderFacts facts = loader.read();
    EXPECT_EQ(facts.problem, nullptr);
    EXPECT_EQ(facts.command_line, "console=com1 loglvl=all");
    ASSERT_EQ(facts.module_count, 2u);
    EXPECT_EQ(facts.modules[0].start, MachineAddr(0x4000));
    EXPECT_EQ(facts.modules[0].end, MachineAddr(0x5000));
    EXPECT_EQ(facts.modules[0].arguments, "root=/dev/sda");
    EXPECT_EQ(facts.modules[1].arguments, "");
    EXPECT_EQ(loader.map.ram_frames, 0x400u);
    EXPECT_EQ(facts.efi_system_table, 0u);
    EXPECT_EQ(facts.screen.kind, ScreenKind::kNone);
}

TEST(MultibootTest, EfisMapTellsMoreThanTheLoaders) {
    Loader loader;
    loader.tag(6, map_tag()).tag(12, pack(uint64_t{0x7fee000})).tag(17, efi_map_tag());
    const LoaderFacts facts = loader.read();
    EXPECT_EQ(facts.efi_system_table, 0x7fee000u);
    EXPECT_EQ(facts.efi_map.count(), 1u);
    EXPECT_EQ(loader.map.count, 1u);
    EXPECT_EQ(loader.map.ram_frames, 256u);
}

TEST(MultibootTest, TheNewRootOfAcpiIsPreferredInAnyOrder) {
    std::string rsdp(36, '\0');
    const uint8_t revision = 2;
    const uint32_t narrow = 0x7000;
    const uint64_t wide = 0x1'0000'8000;
    memcpy(rsdp.data() + 15, &revision, 1);
    memcpy(rsdp.data() + 16, &narrow, 4);
    memcpy(rsdp.data() + 24, &wide, 8);
    const LoaderFacts old_first = Loader().tag(14, rsdp.substr(0, 20)).tag(15, rsdp).read();
    EXPECT_TRUE(old_first.acpi.wide);
    EXPECT_EQ(old_first.acpi.address, wide);
    EXPECT_TRUE(Loader().tag(15, rsdp).tag(14, rsdp.substr(0, 20)).read().acpi.wide);
    const LoaderFacts only_old = Loader().tag(14, rsdp.substr(0, 20)).read();
    EXPECT_FALSE(only_old.acpi.wide);
    EXPECT_EQ(only_old.acpi.address, narrow);
}

TEST(MultibootTest, Screens) {
    const auto head = [](uint8_t kind) {
        return pack(uint64_t{0x1'c000'0000}, uint32_t{4096}, uint32_t{1024}, uint32_t{768}, uint8_t{32}, kind,
                    uint16_t{0});
    };
    const Screen pixels =
        Loader()
            .tag(8, head(1) + pack(uint8_t{16}, uint8_t{8}, uint8_t{8}, uint8_t{8}, uint8_t{0}, uint8_t{8}))
            .read()
            .screen;
    EXPECT_EQ(pixels.kind, ScreenKind::kPixels);
    EXPECT_EQ(pixels.address, 0x1'c000'0000u);
    EXPECT_EQ(pixels.bytes_per_line, 4096u);
    EXPECT_EQ(pixels.width, 1024u);
    EXPECT_EQ(pixels.height, 768u);
    EXPECT_EQ(pixels.bits, 32);
    EXPECT_EQ(pixels.red_position, 16);
    EXPECT_EQ(pixels.green_position, 8);
    EXPECT_EQ(pixels.blue_bits, 8);
    EXPECT_EQ(Loader().tag(8, head(2)).read().screen.kind, ScreenKind::kText);
    EXPECT_EQ(Loader().tag(8, head(0)).read().screen.kind, ScreenKind::kNone);  // a palette
}

TEST(MultibootTest, BootServicesThatStillRunAreAProblem) {
    EXPECT_NE(Loader().tag(18, "").read().problem, nullptr);
}

TEST(MultibootTest, MoreModulesThanThereIsRoomFor) {
    Loader loader;
    for (unsigned i = 0; i < 6; ++i)
        loader.tag(3, pack(0x4000u, 0x5000u) + std::string("\0", 1));
    const LoaderFacts facts = loader.read();
    EXPECT_EQ(facts.module_count, LoaderFacts::kMostModules);
    EXPECT_EQ(facts.modules_left_out, 2u);
}

TEST(MultibootTest, AModuleThatEndsBeforeItBeginsIsNone) {
    EXPECT_EQ(Loader().tag(3, pack(0x5000u, 0x4000u)).read().module_count, 0u);
}

TEST(MultibootTest, ATagBeyondTheEndIsTheLast) {
    Loader loader;
    loader.tag(1, std::string("a\0", 2)).tag(3, pack(0x4000u, 0x5000u));
    loader.put(kInformation, uint32_t{8 + 16 + 10});  // the module's tag is cut
    EXPECT_EQ(loader.read().module_count, 0u);
    EXPECT_EQ(loader.read().command_line, "a");
}

TEST(MultibootTest, Version1) {
    Loader loader;
    const uint32_t flags = 1u << 2 | 1u << 3 | 1u << 6;
    loader.put(kInformation, flags)
        .put(kInformation + 16, 0x2000u)
        .put(kInformation + 20, 1u)
        .put(kInformation + 24, 0x3000u);
    loader.put(kInformation + 44, 24u * 2).put(kInformation + 48, 0x3100u);
    loader.put_text(0x2000, "torii.elf console=com1");
    loader.put(0x3000, 0x4000u).put(0x3004, 0x5000u).put(0x3008, 0x2100u).put_text(0x2100, "vmlinuz quiet");
    for (const uint32_t i : {0u, 1u})
        loader.put(0x3100 + i * 24, 20u)
            .put(0x3104 + i * 24, uint64_t{0x100000} * (i + 1))
            .put(0x310c + i * 24, uint64_t{0x80000})
            .put(0x3114 + i * 24, 1u);
    const LoaderFacts facts = loader.read(kMultiboot1);
    EXPECT_EQ(facts.problem, nullptr);
    EXPECT_EQ(facts.command_line, "console=com1");
    ASSERT_EQ(facts.module_count, 1u);
    EXPECT_EQ(facts.modules[0].arguments, "quiet");
    EXPECT_EQ(loader.map.ram_frames, 0x100u);

    loader.put(0x3100, 0u);  // an entry without a size would never end
    EXPECT_EQ(loader.read(kMultiboot1).problem, nullptr);
    EXPECT_EQ(loader.map.count, 0u);
    loader.put(kInformation, 1u << 2);
    EXPECT_NE(loader.read(kMultiboot1).problem, nullptr);
}

TEST(MultibootTest, InformationOutsideOfMemoryReadsAsNothing) {
    for (const uint64_t at : {uint64_t{0xfffc}, uint64_t{0x10000}, uint64_t{0xffffffff}, ~uint64_t{0} - 8}) {
        EXPECT_EQ(Loader().read(kMultiboot2, at).module_count, 0u);
        EXPECT_NE(Loader().read(kMultiboot1, at).problem, nullptr);
    }
}

TEST(MultibootTest, AnyCutOfTheTagsIsRead) {
    Loader loader;
    loader.tag(1, std::string("a b\0", 4))
        .tag(6, map_tag())
        .tag(17, efi_map_tag())
        .tag(8, std::string(24, 1))
        .tag(15, std::string(36, 2));
    for (uint32_t bytes = 0; bytes < loader.size() + 8; ++bytes) {
        loader.put(kInformation, bytes);
        (void)loader.read();
    }
}

}  // namespace
}  // namespace torii::boot::test
