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
    if (owner_ != nullptr) owner_->give_back(bytes_);
    owner_ = nullptr;
    bytes_ = {};
}

BounceMemory::BounceMemory(IoLoop& loop, size_t limit)
    : loop_(loop), held_(allocate(kHeld)), limit_(limit - kHeld) {
    // Without it all goes on as before, and takes a little longer.
    (void)loop_.hold({held_.get(), kHeld});
}

BounceMemory::~BounceMemory() {
    loop_.let_go({held_.get(), kHeld});
}

BounceMemory::Block BounceMemory::allocate(size_t size) {
    Block block(static_cast<std::byte*>(::operator new[](size, std::align_val_t{kGuestPageSize})));
    // No byte of the daemon lies in what a guest's data passes through.
    std::memset(block.get(), 0, size);
    return block;
}

bool BounceMemory::is_held(const std::byte* bytes) const {
    return bytes >= held_.get() && bytes < held_.get() + kHeld;
}

BounceMemory::Piece BounceMemory::take(size_t length) {
    Piece piece;
    const size_t size = std::bit_ceil(std::max(length, kGuestPageSize));
    std::byte* bytes = take_held(size);
    if (bytes == nullptr) bytes = take_other(size);
    if (bytes == nullptr) return piece;
    piece.owner_ = this;
    piece.bytes_ = {bytes, size};
    return piece;
}

// The first free run, at a multiple of its own size. Null when there is none.
std::byte* BounceMemory::take_held(size_t size) {
    const size_t pages = size / kGuestPageSize;
    const size_t in_word = std::min(pages, kBits);
    const size_t words = pages / in_word == 1 ? 1 : pages / kBits;
    const uint64_t run = in_word == kBits ? ~uint64_t{0} : (uint64_t{1} << in_word) - 1;
    for (size_t word = 0; word + words <= taken_.size(); word += words) {
        for (size_t bit = 0; bit < kBits; bit += in_word) {
            bool free = true;
            for (size_t i = 0; i < words; ++i)
                free = free && (taken_[word + i] & run << bit) == 0;
            if (!free) continue;
            for (size_t i = 0; i < words; ++i)
                taken_[word + i] |= run << bit;
            return held_.get() + (word * kBits + bit) * kGuestPageSize;
        }
    }
    return nullptr;
}

std::byte* BounceMemory::take_other(size_t size) {
    if (in_use_ + size > limit_) return nullptr;
    std::vector<Block>& kept = free_[size];
    in_use_ += size;
    if (!kept.empty()) {
        kept_ -= size;
        std::byte* const bytes = kept.back().release();
        kept.pop_back();
        return bytes;
    }
    // Pieces of other sizes make room.
    for (auto other = free_.begin(); in_use_ + kept_ > limit_ && other != free_.end();) {
        if (other->second.empty()) {
            ++other;
            continue;
        }
        other->second.pop_back();
        kept_ -= other->first;
    }
    return allocate(size).release();
}

void BounceMemory::give_back(std::span<std::byte> bytes) {
    if (!is_held(bytes.data())) {
        in_use_ -= bytes.size();
        kept_ += bytes.size();
        free_[bytes.size()].push_back(Block(bytes.data()));
        return;
    }
    const auto first = static_cast<size_t>(bytes.data() - held_.get()) / kGuestPageSize;
    for (size_t page = first; page < first + bytes.size() / kGuestPageSize; ++page)
        taken_[page / kBits] &= ~(uint64_t{1} << page % kBits);
}

}  // namespace torii::backend
