#pragma once
// A PV disk of this guest: connects by xenbus, and reads and writes by one ring (block_front.h), each call
// waiting for its answer. Data passes through pages of the disk's own, whose grants are used again and again
// ("feature-persistent").

#include <torii/guest/events.h>
#include <torii/guest/memory.h>
#include <torii/guest/xenbus.h>

#include <cstdint>
#include <optional>
#include <span>

#include "drivers/block_front.h"

namespace torii::guest {

class BlockDisk {
public:
    // Connects device/vbd/NUMBER, waiting for its back end. False when there is none, or it does not come;
    // nothing is granted then.
    bool open(uint32_t number, uint64_t timeout_ns = 10'000'000'000);
    // Lets go of the back end. False when it does not let go of a page: that stays granted, and is lost.
    bool close();

    // Why the back end closed it, in its own words; empty when it said nothing. Valid until the next request
    // to the store.
    std::string_view reason() const { return bus_.backend_error(); }

    uint64_t sectors() const { return sectors_; }          // of 512 bytes
    uint32_t sector_size() const { return sector_size_; }  // requests are multiples of it
    bool read_only() const { return (info_ & abi::kBlockInfoReadonly) != 0; }

    // `data` is a multiple of sector_size(), of any length. All return what the back end said of the first
    // piece that it refused, and kError for one that is broken or does not answer in time.
    abi::BlockStatus read(uint64_t sector, std::span<uint8_t> data);
    abi::BlockStatus write(uint64_t sector, std::span<const uint8_t> data);
    abi::BlockStatus flush();
    abi::BlockStatus discard(uint64_t sector, uint64_t count);

    // Pages of data in one request.
    static constexpr unsigned kDataPages = 32;

private:
    static constexpr unsigned kEntries = 32;  // of a ring of one page

    struct GrantedPage {
        Page* page = nullptr;
        abi::RawGrantRef gref = 0;
    };
    GrantedPage grant_page();
    bool connect(uint64_t timeout_ns);
    bool end_grants();
    unsigned pieces_for(size_t bytes, std::span<BlockPiece> pieces) const;
    abi::BlockStatus finish();

    XenbusDevice bus_;
    RawPort port_ = 0;
    GrantedPage ring_;
    GrantedPage descriptors_;
    GrantedPage data_[kDataPages];
    BlockFront::Shadow shadows_[kEntries];
    std::optional<BlockFront> front_;
    unsigned pages_per_request_ = abi::kBlockMaxSegments;
    uint64_t sectors_ = 0;
    uint32_t sector_size_ = 512;
    uint32_t info_ = 0;
};

}  // namespace torii::guest
