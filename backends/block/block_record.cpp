#include "block/block_record.h"

#include <torii/failure.h>
#include <torii/ring/shared_memory.h>

#include <cstring>

namespace torii::backend {
namespace {

constexpr char kMagic[8] = {'t', 'o', 'r', 'i', 'i', 'v', 'b', 'd'};
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 4096;

}  // namespace

struct BlockRecord::Header {
    struct Ring {
        uint32_t port;
        uint32_t grefs[kMaxBlockRingPages];
    };
    char magic[8];
    uint32_t version;
    uint32_t valid;
    uint32_t persistent;
    uint32_t unit_shift;
    uint32_t rings;
    uint32_t ring_pages;
    Ring ring[kMaxBlockQueues];
};

BlockRecord::BlockRecord(const std::string& path) : memory_(path) {
    static_assert(sizeof(Header) <= kHeaderBytes);
    memory_.grow(kHeaderBytes);
    Header& header = *this->header();
    if (header.magic[0] == 0) {
        header.version = kVersion;
        std::memcpy(header.magic, kMagic, sizeof(kMagic));
        return;
    }
    if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) == 0 && header.version == kVersion) return;
    throw Failure(ErrorCode::kConfigurationUnsupported,
                  "the state file " + path + " was written by another version of toriid (format " +
                      std::to_string(header.version) + ", this one knows " + std::to_string(kVersion) +
                      "). Start that version again, or shut the guest down and remove the file");
}

BlockRecord::Header* BlockRecord::header() const {
    return reinterpret_cast<Header*>(memory_.bytes().data());
}

std::optional<BlockConnection> BlockRecord::connected() const {
    const Header& header = *this->header();
    if (header.valid != 1) return std::nullopt;
    const bool possible = header.rings >= 1 && header.rings <= kMaxBlockQueues && header.ring_pages >= 1 &&
                          header.ring_pages <= kMaxBlockRingPages;
    if (!possible) return std::nullopt;
    BlockConnection connection;
    connection.persistent = header.persistent != 0;
    connection.unit_shift = header.unit_shift == 12 ? 12 : 9;
    for (size_t i = 0; i < header.rings; ++i) {
        BlockRingParameters& ring = connection.rings.emplace_back();
        ring.port = Port(header.ring[i].port);
        for (size_t page = 0; page < header.ring_pages; ++page)
            ring.pages.push_back(GrantRef(header.ring[i].grefs[page]));
    }
    const size_t needed =
        kHeaderBytes + header.rings * BlockRing::record_bytes(BlockRing::entries(connection.ring_bytes()));
    if (memory_.bytes().size() < needed) return std::nullopt;
    return connection;
}

void BlockRecord::prepare(const BlockConnection& connection) {
    const size_t rings = connection.rings.size();
    set_valid(false);
    memory_.grow(kHeaderBytes + rings * BlockRing::record_bytes(BlockRing::entries(connection.ring_bytes())));
    Header& header = *this->header();
    header.persistent = connection.persistent ? 1 : 0;
    header.unit_shift = connection.unit_shift;
    header.rings = static_cast<uint32_t>(rings);
    header.ring_pages = static_cast<uint32_t>(connection.rings[0].pages.size());
    for (size_t i = 0; i < rings; ++i) {
        header.ring[i].port = connection.rings[i].port.raw();
        for (size_t page = 0; page < connection.rings[i].pages.size(); ++page)
            header.ring[i].grefs[page] = connection.rings[i].pages[page].raw();
    }
}

std::span<std::byte> BlockRecord::of_ring(size_t number, size_t ring_bytes) const {
    const size_t bytes = BlockRing::record_bytes(BlockRing::entries(ring_bytes));
    return memory_.bytes().subspan(kHeaderBytes + number * bytes, bytes);
}

void BlockRecord::set_valid(bool valid) {
    ring::store_own_index(header()->valid, valid ? 1 : 0);
}

}  // namespace torii::backend
