#include "block/bounce_memory.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <utility>

#include "common/guest_memory.h"

namespace torii::backend {

BounceMemory::Piece& BounceMemory::Piece::operator=(Piece&& other) noexcept {
    if (this != &other) {
        reset();
        owner_ = std::exchange(other.owner_, nullptr);
        bytes_ = std::exchange(other.bytes_, {});
    }
    return *this;
}

void BounceMemory::Piece::reset() {
    if (owner_ == nullptr) return;
    owner_->in_use_ -= bytes_.size();
    owner_->kept_ += bytes_.size();
    owner_->free_[bytes_.size()].push_back(Block(bytes_.data()));
    owner_ = nullptr;
    bytes_ = {};
}

size_t BounceMemory::rounded(size_t length) {
    return std::bit_ceil(std::max(length, kGuestPageSize));
}

bool BounceMemory::has(size_t length) const {
    return in_use_ + rounded(length) <= limit_;
}

BounceMemory::Piece BounceMemory::take(size_t length) {
    Piece piece;
    if (!has(length)) return piece;
    const size_t size = rounded(length);
    std::vector<Block>& kept = free_[size];
    std::byte* bytes = nullptr;
    if (!kept.empty()) {
        bytes = kept.back().release();
        kept.pop_back();
        kept_ -= size;
    } else {
        // Pieces of other sizes make room.
        for (auto other = free_.begin(); in_use_ + kept_ + size > limit_ && other != free_.end();) {
            if (other->second.empty()) {
                ++other;
                continue;
            }
            other->second.pop_back();
            kept_ -= other->first;
        }
        bytes = static_cast<std::byte*>(::operator new[](size, std::align_val_t{kGuestPageSize}));
        // No byte of the daemon lies in what a guest's data passes through.
        std::memset(bytes, 0, size);
    }
    piece.owner_ = this;
    piece.bytes_ = {bytes, size};
    in_use_ += size;
    return piece;
}

}  // namespace torii::backend
