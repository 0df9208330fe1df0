// Names of the hypervisor's functions, for backtraces. The table is made from the linked image
// (arch/x86/hw/make_symbols.py, which describes its format) and read by whoever is about to stop the machine:
// nothing in it is believed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace torii {

// A part of the image: the one that stays, or the one that only boot needs.
enum class ImagePart : uint8_t { kResident, kBoot };
inline constexpr unsigned kImageParts = 2;

struct FoundSymbol {
    std::string_view name;  // in the caller's room, cut at its end
    uint64_t offset;        // from the function's first byte
};

inline constexpr size_t kLongestSymbol = 64;

// The function that the byte at `offset` from the beginning of the part belongs to.
[[nodiscard]] std::optional<FoundSymbol> find_symbol(std::span<const uint8_t> table, ImagePart part,
                                                     uint64_t offset, std::span<char> room);

}  // namespace torii
