// Takes a fuzzer's input apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace torii::fuzz {

// At its end everything is zero.
class Input {
public:
    Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
    [[nodiscard]] bool at_end() const { return position_ == size_; }
    uint8_t byte() { return at_end() ? 0 : data_[position_++]; }
    uint32_t word() {
        const uint32_t low = byte();
        return low | static_cast<uint32_t>(byte()) << 8;
    }
    uint64_t number() {
        uint64_t value = 0;
        for (unsigned i = 0; i < 64; i += 8)
            value |= uint64_t{byte()} << i;
        return value;
    }
    // A number below `count`, which is at most 256.
    unsigned choice(unsigned count) { return byte() % count; }
    std::string bytes(size_t most) {
        std::string result;
        for (size_t left = word() % (most + 1); left != 0 && !at_end(); --left) {
            result += static_cast<char>(byte());
        }
        return result;
    }

    // A valid file with the rest of the input's damage: bytes written over, half of them in the headers at
    // its beginning, and its end cut off.
    std::string damage(std::string file) {
        if (choice(4) == 0) file.resize(word() % (file.size() + 1));
        while (!at_end() && !file.empty()) {
            const size_t reach = choice(2) == 0 && file.size() > kHeaders ? kHeaders : file.size();
            file[(word() | uint32_t{byte()} << 16) % reach] = static_cast<char>(byte());
        }
        return file;
    }

private:
    static constexpr size_t kHeaders = 768;

    const uint8_t* data_;
    size_t size_;
    size_t position_ = 0;
};

}  // namespace torii::fuzz
