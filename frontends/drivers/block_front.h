#pragma once
// The front end of a block device's ring (public io/blkif.h): puts requests, takes responses. It allocates
// nothing and knows neither grants nor xenstore, so it runs in a guest and on a host alike; block_disk.h
// makes a device of it.
//
// The back end is not trusted: a response counts only for a request that is outstanding, once, and only if it
// names that request's operation. Anything else breaks the device, and nothing more is taken from it.

#include <torii/abi/io/blkif.h>
#include <torii/ring/front_ring.h>

#include <cstdint>
#include <optional>
#include <span>

namespace torii::guest {

// Part of a granted page: sectors of it, both inclusive.
struct BlockPiece {
    abi::RawGrantRef gref = 0;
    uint8_t first_sector = 0;
    uint8_t last_sector = 0;
};

class BlockFront {
public:
    // What is remembered of a request; one for each entry of the ring.
    struct Shadow {
        uint64_t token = 0;
        uint8_t operation = 0;
        bool outstanding = false;
        // A page for the descriptors of an indirect request and its grant, or none.
        abi::BlockSegment* descriptors = nullptr;
        abi::RawGrantRef descriptors_gref = 0;
    };

    // Makes the ring empty. `ring` is whole pages; `shadows` are as many as its entries, whose descriptor
    // pages are filled in. Both must outlive this.
    BlockFront(std::span<std::byte> ring, std::span<Shadow> shadows);

    static uint32_t entries(size_t ring_bytes) {
        return abi::ring_entries(ring_bytes, sizeof(abi::BlockRequest));
    }

    // Requests; `token` comes back with the answer. False when the ring is full, or there are more pieces
    // than a request can have: kBlockMaxSegments, and `most_indirect` when there are descriptor pages.
    // Not visible to the back end before publish().
    bool read(uint64_t sector, std::span<const BlockPiece> pieces, uint64_t token) {
        return put(abi::BlockOperation::kRead, sector, pieces, token);
    }
    bool write(uint64_t sector, std::span<const BlockPiece> pieces, uint64_t token) {
        return put(abi::BlockOperation::kWrite, sector, pieces, token);
    }
    // The data, if any, is durable with all that was written before it.
    bool barrier(uint64_t sector, std::span<const BlockPiece> pieces, uint64_t token) {
        return put(abi::BlockOperation::kWriteBarrier, sector, pieces, token);
    }
    bool flush(uint64_t token) { return put(abi::BlockOperation::kFlushDiskcache, 0, {}, token); }
    bool discard(uint64_t sector, uint64_t sectors, uint64_t token);

    void set_most_indirect(unsigned segments);

    // True when the back end wants the event.
    bool publish() { return ring_.publish(); }

    struct Answer {
        uint64_t token = 0;
        abi::BlockStatus status = abi::BlockStatus::kOkay;
    };
    std::optional<Answer> next();
    // Asks for an event at the next answer. True when one is there already.
    bool enable_events() { return ring_.enable_events(); }

    uint32_t outstanding() const { return outstanding_; }
    uint32_t capacity() const { return ring_.capacity(); }
    bool broken() const { return broken_ || ring_.broken(); }

private:
    bool put(abi::BlockOperation operation, uint64_t sector, std::span<const BlockPiece> pieces,
             uint64_t token);
    bool put_indirect(Shadow& shadow, uint64_t id, abi::BlockOperation operation, uint64_t sector,
                      std::span<const BlockPiece> pieces);
    Shadow* free_shadow(uint64_t& id);
    void remember(Shadow& shadow, abi::BlockOperation operation, uint64_t token);

    ring::FrontRing<abi::BlockRequest, abi::BlockResponse> ring_;
    std::span<Shadow> shadows_;
    uint32_t outstanding_ = 0;
    uint32_t next_shadow_ = 0;
    unsigned most_indirect_ = 0;
    bool broken_ = false;
};

}  // namespace torii::guest
