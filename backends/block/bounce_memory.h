#pragma once
// Memory of ours that the data of requests passes through. One for each ring: what it holds are bytes of that
// guest's device and of nobody else.
//
// Pieces are powers of two pages. They come from one block that the loop holds for reads and writes
// (IoLoop::hold) while that has room, and then from memory of their own, which is kept for the next request
// of that size. All together never exceeds the limit, so a guest costs the daemon no more than that.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "common/io_loop.h"

namespace torii::backend {

class BounceMemory {
public:
    // Bytes held, and so used, as long as this lives: eight requests of the usual largest size.
    static constexpr size_t kHeld = size_t{1} << 20;

    // `limit`: in bytes, more than what is held. Throws std::bad_alloc.
    BounceMemory(IoLoop& loop, size_t limit);
    ~BounceMemory();
    BounceMemory(const BounceMemory&) = delete;
    BounceMemory& operator=(const BounceMemory&) = delete;

    // Gives its piece back when it goes; must not outlive the memory.
    class Piece {
    public:
        Piece() = default;
        Piece(Piece&& other) noexcept { *this = std::move(other); }
        Piece& operator=(Piece&& other) noexcept;
        ~Piece() { reset(); }
        void reset();
        std::span<std::byte> bytes() const { return bytes_; }
        bool empty() const { return bytes_.empty(); }

    private:
        friend class BounceMemory;
        BounceMemory* owner_ = nullptr;
        std::span<std::byte> bytes_;
    };

    // At least `length` bytes, aligned to a page, with bytes of earlier requests of this ring in them. Empty
    // when the limit is reached.
    Piece take(size_t length);

private:
    struct Free {
        void operator()(std::byte* bytes) const { ::operator delete[](bytes, std::align_val_t{4096}); }
    };
    using Block = std::unique_ptr<std::byte[], Free>;
    static Block allocate(size_t size);
    std::byte* take_held(size_t size);
    std::byte* take_other(size_t size);
    void give_back(std::span<std::byte> bytes);
    bool is_held(const std::byte* bytes) const;

    IoLoop& loop_;
    Block held_;
    static constexpr size_t kBits = 64;
    std::array<uint64_t, kHeld / 4096 / kBits> taken_{};  // a bit for each page of what is held

    size_t limit_;  // of what follows
    size_t in_use_ = 0;
    size_t kept_ = 0;
    std::map<size_t, std::vector<Block>> free_;
};

}  // namespace torii::backend
