// Descriptors and data, between the guest's pages and the memory that the engine is given.

#include <torii/ring/shared_memory.h>

#include "block/block_work.h"
#include "common/guest_data.h"

namespace torii::backend {

using abi::BlockStatus;

// Of indirect requests: their descriptors are copied once, all in one call, and only then looked at. Those
// whose descriptors are impossible are answered and taken out.
void BlockQueue::read_descriptors(Works& works) {
    size_t total = 0;
    for (const Work* work : works)
        total += work->needs_descriptors() ? work->ask.indirect_segments : 0;
    if (total == 0) return;
    descriptors_.resize(total);
    copies_.clear();
    std::vector<std::span<abi::BlockSegment>> places(works.size());
    std::vector<std::pair<size_t, size_t>> of_work;  // which copy belongs to which of `works`
    total = 0;
    for (size_t i = 0; i < works.size(); ++i) {
        Work& work = *works[i];
        if (!work.needs_descriptors()) continue;
        places[i] = std::span(descriptors_).subspan(total, work.ask.indirect_segments);
        total += places[i].size();
        if (read_mapped(work, places[i])) continue;
        const size_t first = copies_.size();
        ask_descriptors(work, places[i]);
        of_work.push_back({i, copies_.size() - first});
    }
    if (!copies_.empty()) shared_.memory.copy(copies_);
    std::vector<bool> bad(works.size());
    size_t copy = 0;
    for (const auto& [i, count] : of_work) {
        for (size_t k = 0; k < count; ++k)
            bad[i] = copies_[copy++].status != abi::GrantStatus::kOkay || bad[i];
    }
    Works good;
    for (size_t i = 0; i < works.size(); ++i) {
        Work& work = *works[i];
        if (!places[i].empty() &&
            (bad[i] || add_segments(places[i], shared_.rules, work.ask) != BlockStatus::kOkay)) {
            refuse(work, BlockStatus::kError);
        } else {
            good.push_back(&work);
        }
    }
    works = std::move(good);
}

// From pages that stay mapped, if the frontend's do and these can be.
bool BlockQueue::read_mapped(Work& work, std::span<abi::BlockSegment> segments) {
    if (!shared_.persistent) return false;
    for (size_t page = 0; page < work.ask.indirect_pages.size(); ++page) {
        PersistentGrants::Page* const mapped = persistent_.use(work.ask.indirect_pages[page]);
        if (mapped == nullptr) return false;
        const size_t first = page * abi::kBlockSegmentsPerIndirectPage;
        const size_t count = std::min<size_t>(segments.size() - first, abi::kBlockSegmentsPerIndirectPage);
        ring::copy_once(&segments[first], mapped->bytes(), count * sizeof(abi::BlockSegment));
        persistent_.release(mapped);
    }
    return true;
}

void BlockQueue::ask_descriptors(Work& work, std::span<abi::BlockSegment> segments) {
    for (size_t page = 0; page < work.ask.indirect_pages.size(); ++page) {
        const size_t first = page * abi::kBlockSegmentsPerIndirectPage;
        const size_t count = std::min<size_t>(segments.size() - first, abi::kBlockSegmentsPerIndirectPage);
        GrantCopySegment copy;
        copy.gref = work.ask.indirect_pages[page];
        copy.length = static_cast<uint16_t>(count * sizeof(abi::BlockSegment));
        copy.local = reinterpret_cast<std::byte*>(&segments[first]);
        copies_.push_back(copy);
    }
}

// Memory for the engine, false when there is none now; and the guest's pages, if they stay mapped.
//
// The engine is never given the guest's pages themselves: the kernel would have to look up each of them, page
// by page in the slowest way that it has, which takes three times what copying a page does.
bool BlockQueue::give_memory(Work& work) {
    work.bounce = bounce_.take(work.ask.length);
    if (work.bounce.empty()) return false;
    if (shared_.persistent) map_pages(work);
    return true;
}

// All of them, or none: then its data is copied by grant.
void BlockQueue::map_pages(Work& work) {
    for (const PageSegment& segment : work.ask.segments) {
        PersistentGrants::Page* const page = persistent_.use(segment.gref);
        if (page == nullptr) {
            for (PersistentGrants::Page* used : work.pages)
                persistent_.release(used);
            work.pages.clear();
            return;
        }
        work.pages.push_back(page);
    }
}

void BlockQueue::copy_mapped(Work& work, bool to_guest) {
    std::byte* ours = work.bounce.bytes().data();
    for (size_t i = 0; i < work.pages.size(); ++i) {
        const PageSegment& segment = work.ask.segments[i];
        std::byte* const theirs = work.pages[i]->bytes() + segment.offset;
        copy_guest_data(to_guest ? theirs : ours, to_guest ? ours : theirs, segment.length);
        ours += segment.length;
    }
}

void BlockQueue::copy_granted(Works& works, bool to_guest) {
    if (works.empty()) return;
    copies_.clear();
    for (const Work* work : works) {
        std::byte* ours = work->bounce.bytes().data();
        for (const PageSegment& segment : work->ask.segments) {
            copies_.push_back({segment.gref, segment.offset, segment.length, ours, to_guest});
            ours += segment.length;
        }
    }
    shared_.memory.copy(copies_);
    Works good;
    size_t copy = 0;
    for (Work* work : works) {
        bool all = true;
        for (size_t i = 0; i < work->ask.segments.size(); ++i)
            all = copies_[copy++].status == abi::GrantStatus::kOkay && all;
        if (all) {
            good.push_back(work);
        } else {
            refuse(*work, BlockStatus::kError);
        }
    }
    works = std::move(good);
}

}  // namespace torii::backend
