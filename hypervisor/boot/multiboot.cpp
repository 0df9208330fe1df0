#include "boot/multiboot.h"

namespace torii::boot {
namespace {

// Multiboot 1 gives modules and the kernel their arguments with the file's name in front.
std::string_view without_first_word(std::string_view text) {
    const size_t space = text.find(' ');
    return space == std::string_view::npos ? std::string_view{} : text.substr(space + 1);
}

void add_module(LoaderFacts& facts, uint64_t start, uint64_t end, std::string_view arguments) {
    if (end < start) return;
    if (facts.module_count == LoaderFacts::kMostModules) {
        ++facts.modules_left_out;
        return;
    }
    facts.modules[facts.module_count++] = {MachineAddr(start), MachineAddr(end), arguments};
}

struct Multiboot1 {
    uint32_t flags, mem_lower, mem_upper, boot_device, command_line, module_count, modules, symbols[4],
        map_bytes, map;
};
struct Multiboot1Module {
    uint32_t start, end, arguments, reserved;
};

void read_multiboot1(uint64_t address, const LoaderMemory& memory, LoaderFacts& facts,
                     MemoryMapBuilder& map) {
    constexpr uint32_t kHasCommandLine = 1u << 2, kHasModules = 1u << 3, kHasMap = 1u << 6;
    const auto given = memory.read<Multiboot1>(address);
    if ((given.flags & kHasCommandLine) != 0)
        facts.command_line = without_first_word(memory.text(given.command_line, kLongestArguments));
    if ((given.flags & kHasModules) != 0) {
        constexpr uint32_t kMostLookedAt = 64;
        for (uint32_t i = 0; i < given.module_count && i < kMostLookedAt; ++i) {
            const auto module =
                memory.read<Multiboot1Module>(uint64_t{given.modules} + i * sizeof(Multiboot1Module));
            add_module(facts, module.start, module.end,
                       without_first_word(memory.text(module.arguments, kLongestArguments)));
        }
    }
    if ((given.flags & kHasMap) == 0) {
        facts.problem = "the boot loader gives no memory map";
        return;
    }
    constexpr uint32_t kLeast = 20;
    const uint64_t end = uint64_t{given.map} + given.map_bytes;
    for (uint64_t entry = given.map; entry + 4 + kLeast <= end;) {
        // The size does not count itself.
        const auto size = memory.read<uint32_t>(entry);
        if (size < kLeast) return;
        map.add(memory.read<uint64_t>(entry + 4), memory.read<uint64_t>(entry + 12),
                memory.read<uint32_t>(entry + 20));
        entry += uint64_t{size} + 4;
    }
}

enum TagType : uint32_t {
    kTagEnd = 0,
    kTagCommandLine = 1,
    kTagModule = 3,
    kTagMemoryMap = 6,
    kTagFrameBuffer = 8,
    kTagEfiTable64 = 12,
    kTagAcpiOld = 14,
    kTagAcpiNew = 15,
    kTagEfiMap = 17,
    kTagBootServicesOn = 18,
};

// One tag: all reads are relative to it and end with it.
struct Tag {
    uint32_t type;
    LoaderMemory content;
    uint64_t bytes;
};

void read_map_tag(const Tag& tag, MemoryMapBuilder& map) {
    constexpr uint32_t kLeast = 24;
    const auto step = tag.content.read<uint32_t>(8);
    if (step < kLeast) return;
    for (uint64_t entry = 16; entry + kLeast <= tag.bytes; entry += step)
        map.add(tag.content.read<uint64_t>(entry), tag.content.read<uint64_t>(entry + 8),
                tag.content.read<uint32_t>(entry + 16));
}

Screen read_screen_tag(const LoaderMemory& content) {
    constexpr uint8_t kDirectColours = 1, kText = 2;
    Screen screen;
    screen.address = content.read<uint64_t>(8);
    screen.bytes_per_line = content.read<uint32_t>(16);
    screen.width = content.read<uint32_t>(20);
    screen.height = content.read<uint32_t>(24);
    screen.bits = content.read<uint8_t>(28);
    const auto kind = content.read<uint8_t>(29);
    if (screen.address == 0 || screen.width == 0 || screen.height == 0) return {};
    if (kind == kText) screen.kind = ScreenKind::kText;
    if (kind == kDirectColours) {
        screen.kind = ScreenKind::kPixels;
        screen.red_position = content.read<uint8_t>(32);
        screen.red_bits = content.read<uint8_t>(33);
        screen.green_position = content.read<uint8_t>(34);
        screen.green_bits = content.read<uint8_t>(35);
        screen.blue_position = content.read<uint8_t>(36);
        screen.blue_bits = content.read<uint8_t>(37);
    }
    return screen;
}

// A copy of the RSDP (ACPI specification 6.4, section 5.2.5.3).
AcpiRoot read_rsdp_tag(const Tag& tag) {
    constexpr uint64_t kCopy = 8;
    if (tag.type == kTagAcpiNew && tag.content.read<uint8_t>(kCopy + 15) >= 2) {
        const auto wide = tag.content.read<uint64_t>(kCopy + 24);
        if (wide != 0) return {wide, true};
    }
    return {tag.content.read<uint32_t>(kCopy + 16), false};
}

void read_efi_map_tag(const Tag& tag, LoaderFacts& facts) {
    constexpr uint64_t kHead = 16;
    if (tag.bytes < kHead) return;
    facts.efi_map_step = tag.content.read<uint32_t>(8);
    facts.efi_map_bytes = tag.content.at(kHead, tag.bytes - kHead);
    facts.efi_map = EfiMap(facts.efi_map_bytes, facts.efi_map_step);
}

void read_tag(const Tag& tag, LoaderFacts& facts, MemoryMapBuilder& firmware_map) {
    switch (tag.type) {
        case kTagCommandLine:
            facts.command_line = tag.content.text(8, kLongestArguments);
            break;
        case kTagModule:
            add_module(facts, tag.content.read<uint32_t>(8), tag.content.read<uint32_t>(12),
                       tag.content.text(16, kLongestArguments));
            break;
        case kTagMemoryMap:
            read_map_tag(tag, firmware_map);
            break;
        case kTagFrameBuffer:
            facts.screen = read_screen_tag(tag.content);
            break;
        case kTagEfiTable64:
            facts.efi_system_table = tag.content.read<uint64_t>(8);
            break;
        case kTagAcpiOld:
            // The new one is the one to prefer, and may come first.
            if (facts.acpi.address == 0) facts.acpi = read_rsdp_tag(tag);
            break;
        case kTagAcpiNew:
            facts.acpi = read_rsdp_tag(tag);
            break;
        case kTagEfiMap:
            read_efi_map_tag(tag, facts);
            break;
        case kTagBootServicesOn:
            facts.problem = "the boot loader left EFI's boot services running, which Torii did not ask for";
            break;
        default:
            break;
    }
}

template <class Visit>
void each_tag(uint64_t address, const LoaderMemory& memory, Visit&& visit) {
    constexpr uint64_t kHead = 8;
    const uint64_t end = address + memory.read<uint32_t>(address);
    for (uint64_t at = address + kHead; at + kHead <= end;) {
        const auto type = memory.read<uint32_t>(at);
        const auto size = memory.read<uint32_t>(at + 4);
        if (type == kTagEnd || size < kHead || size > end - at) return;
        const std::span<const uint8_t> bytes = memory.at(at, size);
        if (bytes.empty()) return;
        visit(Tag{type, LoaderMemory(bytes.data(), bytes.size()), size});
        at += (uint64_t{size} + 7) & ~uint64_t{7};
    }
}

void read_multiboot2(uint64_t address, const LoaderMemory& memory, LoaderFacts& facts,
                     MemoryMapBuilder& map) {
    // EFI's own map tells more than what the loader made of it, and was taken when boot services ended.
    each_tag(address, memory, [&](const Tag& tag) {
        if (tag.type == kTagEfiMap) read_efi_map_tag(tag, facts);
    });
    const bool by_efi = facts.efi_map.count() != 0;
    each_tag(address, memory, [&](const Tag& tag) {
        if (tag.type != kTagMemoryMap || !by_efi) read_tag(tag, facts, map);
    });
    if (by_efi) add_efi_map(facts.efi_map, map);
    facts.efi = read_efi_table(facts.efi_system_table, memory);
}

}  // namespace

LoaderFacts read_multiboot(uint32_t magic, uint64_t information, const LoaderMemory& memory,
                           MemoryMapBuilder& map) {
    LoaderFacts facts;
    if (magic == kMultiboot1) {
        read_multiboot1(information, memory, facts, map);
    } else if (magic == kMultiboot2) {
        read_multiboot2(information, memory, facts, map);
    } else {
        facts.problem = "the boot loader speaks neither Multiboot 1 nor Multiboot 2";
    }
    map.finish();
    facts.map_entries_left_out = map.left_out();
    return facts;
}

}  // namespace torii::boot
