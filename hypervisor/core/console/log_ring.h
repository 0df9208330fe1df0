// The log as bytes: the newest kLogRingBytes of it. Positions count all bytes ever written, so a reader that
// was overtaken notices and goes on with the oldest byte that is left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace torii {

inline constexpr uint32_t kLogRingBytes = 32768;  // a power of two

class LogRing {
public:
    constexpr LogRing() = default;

    void append(std::string_view text);

    // Copies from `position` on, or from the oldest byte left when that is later; moves `position` behind
    // what was copied and returns the number of bytes.
    size_t read(uint32_t& position, std::span<char> out) const;

    // Everything before `position` counts as gone.
    void forget_until(uint32_t position);

    [[nodiscard]] uint32_t begin() const { return begin_; }
    [[nodiscard]] uint32_t end() const { return end_; }

private:
    // Free-running; end_ - begin_ <= kLogRingBytes.
    uint32_t begin_ = 0;
    uint32_t end_ = 0;
    char bytes_[kLogRingBytes]{};
};

}  // namespace torii
