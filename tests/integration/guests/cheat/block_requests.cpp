// Requests that make no sense, one at a time and while they change. Each costs itself an error, and no more.

#include <torii/guest/hypercall.h>
#include <torii/guest/start.h>
#include <torii/ring/shared_memory.h>

#include <atomic>

#include "raw_block.h"

namespace torii::cheat {

namespace {

using abi::BlockOperation;
using abi::BlockRequest;
using abi::BlockSegment;

constexpr unsigned kRaces = 400;
constexpr unsigned kWithdrawals = 400;
constexpr unsigned kRaceSegments = 32;
// The page of descriptors; it may stay mapped until the disk is let go.
constexpr unsigned kDescriptors = 7;

// Connects, has the way do what it does, tells what was answered.
void with_disk(void (*way)(RawBlock& disk, Answers& answers), std::span<const Node> instead = {}) {
    if (!disk().connect(instead)) return disk().tell_closed();
    Answers answers;
    way(disk(), answers);
    disk().tell(answers);
    disk().close();
}

BlockRequest honest_read() {
    return disk().honest(BlockOperation::kRead, 1);
}

void operations(RawBlock& disk, Answers& answers) {
    for (const unsigned operation : {4u, 7u, 200u, 255u}) {
        BlockRequest request = honest_read();
        request.operation = static_cast<uint8_t>(operation);
        disk.ask(request, answers);
    }
}

void segments(RawBlock& disk, Answers& answers) {
    for (const unsigned count : {0u, 12u, 255u}) {
        for (const BlockOperation operation : {BlockOperation::kRead, BlockOperation::kWrite}) {
            BlockRequest request = disk.honest(operation, 1);
            request.nr_segments = static_cast<uint8_t>(count);
            disk.ask(request, answers);
        }
    }
}

// Good and bad grants in one request, so that a part of it could be done.
void grants(RawBlock& disk, Answers& answers) {
    BadGrants& bad = bad_grants();
    for (const abi::RawGrantRef gref : {bad.never, bad.beyond, bad.of_another.gref, bad.read_only.gref}) {
        for (const unsigned place : {0u, 1u}) {
            BlockRequest request = honest_read();
            request.nr_segments = 2;
            request.seg[1] = {disk.page(2).gref, 0, 7, 0};
            request.seg[place].gref = gref;
            disk.ask(request, answers);
        }
        // From a page that can only be read a disk can be written.
        if (gref == bad.read_only.gref) continue;
        BlockRequest request = disk.honest(BlockOperation::kWrite, 1);
        request.seg[0].gref = gref;
        disk.ask(request, answers);
    }
}

void sectors(RawBlock& disk, Answers& answers) {
    constexpr uint8_t kSectors[][2] = {{1, 0}, {7, 6}, {0, 8}, {8, 8}, {0, 255}, {255, 255}, {255, 0}};
    for (const auto& [first, last] : kSectors) {
        BlockRequest request = honest_read();
        request.seg[0].first_sect = first;
        request.seg[0].last_sect = last;
        disk.ask(request, answers);
    }
}

void places(RawBlock& disk, Answers& answers) {
    const uint64_t end = disk.bus().backend_number("sectors").value_or(0);
    for (const uint64_t place :
         {end, end - 1, end - 7, uint64_t{1} << 55, uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{0} - 7}) {
        for (const BlockOperation operation : {BlockOperation::kRead, BlockOperation::kWrite}) {
            BlockRequest request = disk.honest(operation, 1);
            request.sector_number = place;
            disk.ask(request, answers);
        }
        abi::BlockDiscardRequest discard{};
        discard.operation = static_cast<uint8_t>(BlockOperation::kDiscard);
        discard.sector_number = place;
        discard.nr_sectors = ~place + 9;  // wraps to 8
        BlockRequest request{};
        __builtin_memcpy(&request, &discard, sizeof(discard));
        disk.ask(request, answers);
    }
}

BlockRequest indirect(unsigned operation, unsigned segments, abi::RawGrantRef descriptors) {
    abi::BlockIndirectRequest request{};
    request.operation = static_cast<uint8_t>(BlockOperation::kIndirect);
    request.indirect_op = static_cast<uint8_t>(operation);
    request.nr_segments = static_cast<uint16_t>(segments);
    for (abi::RawGrantRef& gref : request.indirect_grefs)
        gref = descriptors;
    BlockRequest result{};
    __builtin_memcpy(&result, &request, sizeof(request));
    return result;
}

BlockSegment* descriptors_in(const SharedPage& page) {
    return reinterpret_cast<BlockSegment*>(page.page);
}

void fill_descriptors(const SharedPage& page, unsigned count) {
    for (unsigned i = 0; i < count; ++i)
        descriptors_in(page)[i] = {disk().page(1 + i % 4).gref, 0, 7, 0};
}

void indirect_requests(RawBlock& disk, Answers& answers) {
    const SharedPage& page = disk.page(kDescriptors);
    fill_descriptors(page, abi::kBlockSegmentsPerIndirectPage);
    for (const unsigned operation : {3u, 5u, 6u, 99u})
        disk.ask(indirect(operation, 12, page.gref), answers);
    for (const unsigned count : {0u, 257u, 512u, 0xFFFFu})
        disk.ask(indirect(0, count, page.gref), answers);
    for (const abi::RawGrantRef gref :
         {bad_grants().never, bad_grants().beyond, bad_grants().of_another.gref})
        disk.ask(indirect(0, 12, gref), answers);
    // One bad descriptor among good ones.
    const BlockSegment bad[] = {{bad_grants().never, 0, 7, 0},
                                {bad_grants().read_only.gref, 0, 7, 0},
                                {disk.page(1).gref, 7, 0, 0},
                                {disk.page(1).gref, 0, 255, 0}};
    for (const BlockSegment& segment : bad) {
        fill_descriptors(page, abi::kBlockSegmentsPerIndirectPage);
        descriptors_in(page)[200] = segment;
        disk.ask(indirect(0, 256, page.gref), answers);
    }
    fill(page);
}

void store_byte(uint8_t& place, uint8_t value) {
    std::atomic_ref<uint8_t>(place).store(value, std::memory_order_relaxed);
}

// Between good and bad, as fast as it can, until it is answered; the bad ones last as long as the good ones.
void flip_until(RawBlock& disk, const SharedPage& page, uint32_t wanted) {
    const abi::RawGrantRef good = disk.page(1).gref;
    BlockRequest& request = disk.slot(wanted - 1);
    const uint64_t deadline = guest::system_time() + 10'000'000'000;
    for (uint32_t turn = 0; ring::load_peer_index(disk.header().rsp_prod) != wanted; ++turn) {
        const bool bad = turn % 2 != 0;
        for (unsigned i = 0; i < kRaceSegments; ++i) {
            BlockSegment& segment = descriptors_in(page)[i];
            std::atomic_ref<uint32_t>(segment.gref)
                .store(bad ? bad_grants().never : good, std::memory_order_relaxed);
            store_byte(segment.last_sect, bad ? 255 : 7);
            store_byte(segment.first_sect, bad ? 9 : 0);
        }
        // Of a response there is nothing at these places.
        std::atomic_ref<uint64_t>(request.sector_number)
            .store(bad ? ~uint64_t{0} : 0, std::memory_order_relaxed);
        std::atomic_ref<uint32_t>(request.seg[0].gref)
            .store(bad ? bad_grants().beyond : good, std::memory_order_relaxed);
        store_byte(request.seg[0].last_sect, bad ? 255 : 7);
        if (turn % 1024 == 1023 && guest::system_time() > deadline) return;
    }
}

void race(RawBlock& disk, Answers& answers) {
    const SharedPage& page = disk.page(kDescriptors);
    for (unsigned round = 0; round < kRaces; ++round) {
        fill_descriptors(page, kRaceSegments);
        const auto operation = round % 3 == 0 ? BlockOperation::kWrite : BlockOperation::kRead;
        const bool direct = round % 2 == 0;
        disk.put(direct ? disk.honest(operation, 1)
                        : indirect(static_cast<unsigned>(operation), kRaceSegments, page.gref));
        disk.publish();
        flip_until(disk, page, disk.produced());
        disk.wait(answers);
    }
    fill(page);
}

// Takes grants away by force while their request is under way, and gives them again.
void withdraw(RawBlock& disk, Answers& answers) {
    for (unsigned round = 0; round < kWithdrawals; ++round) {
        for (unsigned page = 1; page < 5; ++page)
            disk.put(disk.honest(BlockOperation::kRead, page));
        disk.publish();
        for (unsigned page = 1; page < 5; ++page)
            std::atomic_ref<uint16_t>(guest::grant_entry(disk.page(page).gref).flags).store(0);
        disk.wait(answers);
        for (unsigned page = 1; page < 5; ++page)
            guest::grant_access(disk.page(page).gref, disk.bus().backend_domain(),
                                guest::mfn_of(disk.page(page).page), false);
    }
}

constexpr Node kPersistent[] = {{"feature-persistent", "1"}};

constexpr Way kWays[] = {
    {"block-operations", [] { with_disk(operations); }},
    {"block-segments", [] { with_disk(segments); }},
    {"block-grants", [] { with_disk(grants); }},
    {"block-grants-mapped", [] { with_disk(grants, kPersistent); }},
    {"block-sectors", [] { with_disk(sectors); }},
    {"block-places", [] { with_disk(places); }},
    {"block-indirect", [] { with_disk(indirect_requests); }},
    {"block-indirect-mapped", [] { with_disk(indirect_requests, kPersistent); }},
    {"block-race", [] { with_disk(race); }},
    {"block-race-mapped", [] { with_disk(race, kPersistent); }},
    {"block-withdraw", [] { with_disk(withdraw); }},
    {"block-withdraw-mapped", [] { with_disk(withdraw, kPersistent); }},
};

}  // namespace

std::span<const Way> block_requests() {
    return kWays;
}

}  // namespace torii::cheat
