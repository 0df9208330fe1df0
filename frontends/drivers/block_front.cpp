#include "drivers/block_front.h"

namespace torii::guest {
namespace {

abi::BlockSegment segment_of(const BlockPiece& piece) {
    return {piece.gref, piece.first_sector, piece.last_sector, 0};
}

}  // namespace

BlockFront::BlockFront(std::span<std::byte> ring, std::span<Shadow> shadows)
    : ring_(ring.data(), ring.size()), shadows_(shadows.first(entries(ring.size()))) {}

void BlockFront::set_most_indirect(unsigned segments) {
    // One page of descriptors each.
    most_indirect_ =
        segments < abi::kBlockSegmentsPerIndirectPage ? segments : abi::kBlockSegmentsPerIndirectPage;
}

BlockFront::Shadow* BlockFront::free_shadow(uint64_t& id) {
    if (broken() || ring_.free_requests() == 0) return nullptr;
    for (size_t i = 0; i < shadows_.size(); ++i) {
        next_shadow_ = (next_shadow_ + 1) % static_cast<uint32_t>(shadows_.size());
        if (shadows_[next_shadow_].outstanding) continue;
        id = next_shadow_;
        return &shadows_[next_shadow_];
    }
    return nullptr;
}

void BlockFront::remember(Shadow& shadow, abi::BlockOperation operation, uint64_t token) {
    shadow.token = token;
    shadow.operation = static_cast<uint8_t>(operation);
    shadow.outstanding = true;
    ++outstanding_;
}

bool BlockFront::put(abi::BlockOperation operation, uint64_t sector, std::span<const BlockPiece> pieces,
                     uint64_t token) {
    uint64_t id = 0;
    Shadow* const shadow = free_shadow(id);
    if (shadow == nullptr) return false;
    if (pieces.size() > abi::kBlockMaxSegments) {
        if (!put_indirect(*shadow, id, operation, sector, pieces)) return false;
    } else {
        abi::BlockRequest request{};
        request.operation = static_cast<uint8_t>(operation);
        request.nr_segments = static_cast<uint8_t>(pieces.size());
        request.id = id;
        request.sector_number = sector;
        for (size_t i = 0; i < pieces.size(); ++i)
            request.seg[i] = segment_of(pieces[i]);
        if (!ring_.put(request)) return false;
    }
    remember(*shadow, operation, token);
    return true;
}

bool BlockFront::put_indirect(Shadow& shadow, uint64_t id, abi::BlockOperation operation, uint64_t sector,
                              std::span<const BlockPiece> pieces) {
    if (shadow.descriptors == nullptr || pieces.size() > most_indirect_) return false;
    for (size_t i = 0; i < pieces.size(); ++i)
        shadow.descriptors[i] = segment_of(pieces[i]);
    abi::BlockIndirectRequest request{};
    request.operation = static_cast<uint8_t>(abi::BlockOperation::kIndirect);
    request.indirect_op = static_cast<uint8_t>(operation);
    request.nr_segments = static_cast<uint16_t>(pieces.size());
    request.id = id;
    request.sector_number = sector;
    request.indirect_grefs[0] = shadow.descriptors_gref;
    abi::BlockRequest entry{};
    static_assert(sizeof(request) <= sizeof(entry));
    __builtin_memcpy(&entry, &request, sizeof(request));
    return ring_.put(entry);
}

bool BlockFront::discard(uint64_t sector, uint64_t sectors, uint64_t token) {
    uint64_t id = 0;
    Shadow* const shadow = free_shadow(id);
    if (shadow == nullptr) return false;
    abi::BlockDiscardRequest request{};
    request.operation = static_cast<uint8_t>(abi::BlockOperation::kDiscard);
    request.id = id;
    request.sector_number = sector;
    request.nr_sectors = sectors;
    abi::BlockRequest entry{};
    static_assert(sizeof(request) <= sizeof(entry));
    __builtin_memcpy(&entry, &request, sizeof(request));
    if (!ring_.put(entry)) return false;
    remember(*shadow, abi::BlockOperation::kDiscard, token);
    return true;
}

std::optional<BlockFront::Answer> BlockFront::next() {
    if (broken()) return std::nullopt;
    const auto response = ring_.take();
    if (!response) return std::nullopt;
    const bool known = response->id < shadows_.size() && shadows_[response->id].outstanding &&
                       shadows_[response->id].operation == response->operation;
    if (!known) {
        broken_ = true;
        return std::nullopt;
    }
    Shadow& shadow = shadows_[response->id];
    shadow.outstanding = false;
    --outstanding_;
    // A status of the back end's own is a failure.
    const auto status = response->status == 0    ? abi::BlockStatus::kOkay
                        : response->status == -2 ? abi::BlockStatus::kNotSupported
                                                 : abi::BlockStatus::kError;
    return Answer{shadow.token, status};
}

}  // namespace torii::guest
