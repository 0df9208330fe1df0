#pragma once
// Memory of ours that data passes through when it isn't read into the guest's pages, or written from them,
// directly. One for each ring: what it holds are bytes of that guest's device and of nobody else.
//
// Pieces are powers of two pages, kept for the next request of that size. The pieces that are kept and those
// in use together never exceed the limit, so a guest costs the daemon no more than that.

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <vector>

namespace torii::backend {

class BounceMemory {
public:
    // In bytes.
    explicit BounceMemory(size_t limit) : limit_(limit) {}
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
    // What take() would give for sure now.
    bool has(size_t length) const;

private:
    struct Free {
        void operator()(std::byte* bytes) const { ::operator delete[](bytes, std::align_val_t{4096}); }
    };
    using Block = std::unique_ptr<std::byte[], Free>;
    static size_t rounded(size_t length);

    size_t limit_;
    size_t in_use_ = 0;
    size_t kept_ = 0;
    std::map<size_t, std::vector<Block>> free_;
};

}  // namespace torii::backend
