// Machine memory as the boot loader left it, read with bounds: what lies outside reads as nothing.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace torii::boot {

class LoaderMemory {
public:
    // Addresses [0, bytes) are at `base`.
    LoaderMemory(const unsigned char* base, uint64_t bytes) : base_(base), bytes_(bytes) {}

    // Empty where not all of it is there.
    [[nodiscard]] std::span<const uint8_t> at(uint64_t address, uint64_t bytes) const {
        if (address > bytes_ || bytes > bytes_ - address) return {};
        return {base_ + address, bytes};
    }
    // Zero where not all of it is there.
    template <class T>
    [[nodiscard]] T read(uint64_t address) const {
        T value{};
        const std::span<const uint8_t> found = at(address, sizeof(T));
        if (!found.empty()) memcpy(&value, found.data(), sizeof(T));
        return value;
    }
    // Up to its terminating zero or to `most` bytes.
    [[nodiscard]] std::string_view text(uint64_t address, uint64_t most) const {
        if (address >= bytes_) return {};
        if (most > bytes_ - address) most = bytes_ - address;
        const auto* const start = reinterpret_cast<const char*>(base_ + address);
        const void* const end = memchr(start, 0, most);
        return {start, end != nullptr ? static_cast<size_t>(static_cast<const char*>(end) - start) : most};
    }

private:
    const unsigned char* base_;
    uint64_t bytes_;
};

}  // namespace torii::boot
