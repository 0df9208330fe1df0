// What a boot loader hands over: Multiboot 0.6.96, section 3.3, and Multiboot 2.0, section 3.6. The
// structures are the loader's, and read with bounds; what is kept of them points into its memory.
#pragma once

#include <torii/abi/start_info.h>

#include <optional>

#include "boot/efi_map.h"
#include "boot/efi_table.h"
#include "boot/loader_memory.h"
#include "boot/memory_map.h"

namespace torii::boot {

inline constexpr uint32_t kMultiboot1 = 0x2badb002;
inline constexpr uint32_t kMultiboot2 = 0x36d76289;
inline constexpr size_t kLongestArguments = 2048;

struct LoaderModule {
    MachineAddr start{};
    MachineAddr end{};
    std::string_view arguments;
};

// The firmware's root of ACPI tables: an RSDT, or with `wide` an XSDT. Address zero: not told.
struct AcpiRoot {
    uint64_t address = 0;
    bool wide = false;
};

enum class ScreenKind : uint8_t { kNone, kText, kPixels };
struct Screen {
    ScreenKind kind = ScreenKind::kNone;
    uint64_t address = 0;
    uint32_t bytes_per_line = 0;
    uint32_t width = 0;  // in characters or pixels
    uint32_t height = 0;
    uint8_t bits = 0;  // of a pixel
    uint8_t red_position = 0, red_bits = 0, green_position = 0, green_bits = 0, blue_position = 0,
            blue_bits = 0;
};

struct LoaderFacts {
    static constexpr unsigned kMostModules = 4;
    std::string_view command_line;
    LoaderModule modules[kMostModules];
    unsigned module_count = 0;
    unsigned modules_left_out = 0;
    AcpiRoot acpi;
    uint64_t efi_system_table = 0;  // of a 64-bit firmware; zero: none
    std::optional<EfiFirmware> efi;
    EfiMap efi_map;
    std::span<const uint8_t> efi_map_bytes;
    uint32_t efi_map_step = 0;
    Screen screen;
    unsigned map_entries_left_out = 0;
    const char* problem = nullptr;  // why it can't be used
};

// Fills `map` too, which is finished then.
[[nodiscard]] LoaderFacts read_multiboot(uint32_t magic, uint64_t information, const LoaderMemory& memory,
                                         MemoryMapBuilder& map);

}  // namespace torii::boot
