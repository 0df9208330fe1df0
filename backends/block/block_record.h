#pragma once
// The state file of a device: which rings are connected, and the requests in work on each. It is what the
// next daemon has when this one is killed.
//
// It is valid from before the first request is taken until after the last was answered and nothing is mapped.

#include <optional>
#include <string>
#include <vector>

#include "block/block_queue.h"
#include "common/shared_record.h"

namespace torii::backend {

inline constexpr unsigned kMaxBlockQueues = 8;
inline constexpr unsigned kMaxBlockRingOrder = 4;
inline constexpr size_t kMaxBlockRingPages = size_t{1} << kMaxBlockRingOrder;

// What a frontend and this end agreed on.
struct BlockConnection {
    bool persistent = false;
    unsigned unit_shift = 9;
    std::vector<BlockRingParameters> rings;  // all of as many pages

    size_t ring_bytes() const { return rings.at(0).pages.size() * kGuestPageSize; }
};

class BlockRecord {
public:
    // Throws Failure (kSystem, kConfigurationUnsupported: written by another version).
    explicit BlockRecord(const std::string& path);

    // What an earlier process left connected.
    std::optional<BlockConnection> connected() const;

    // Makes room for a connection that is not valid yet. Throws Failure.
    void prepare(const BlockConnection& connection);
    // The part of a ring of the connection prepared or found.
    std::span<std::byte> of_ring(size_t number, size_t ring_bytes) const;
    void set_valid(bool valid);

private:
    struct Header;
    Header* header() const;

    SharedRecord memory_;
};

}  // namespace torii::backend
