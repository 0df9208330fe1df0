#include "drivers/block_disk.h"

#include <torii/guest/grants.h>
#include <torii/guest/start.h>
#include <torii/guest/xenstore.h>

namespace torii::guest {

namespace {

using abi::BlockStatus;
using abi::XenbusState;

constexpr uint64_t kAnswerTimeoutNs = 60'000'000'000;
constexpr unsigned kSectorsPerPage = abi::kPageSize / 512;

}  // namespace

BlockDisk::GrantedPage BlockDisk::grant_page() {
    GrantedPage granted{allocate_page(), allocate_grant_ref()};
    grant_access(granted.gref, bus_.backend_domain(), mfn_of(granted.page), false);
    return granted;
}

bool BlockDisk::open(uint32_t number, uint64_t timeout_ns) {
    if (!xenstore_available() || !bus_.find("vbd", number) || !set_up_grants() || !bus_.reset(timeout_ns))
        return false;
    ring_ = grant_page();
    descriptors_ = grant_page();
    for (GrantedPage& page : data_)
        page = grant_page();
    // One request at a time has descriptors.
    for (BlockFront::Shadow& shadow : shadows_) {
        shadow = {};
        shadow.descriptors = reinterpret_cast<abi::BlockSegment*>(descriptors_.page);
        shadow.descriptors_gref = descriptors_.gref;
    }
    front_.emplace(std::span(reinterpret_cast<std::byte*>(ring_.page), abi::kPageSize), shadows_);
    if (connect(timeout_ns)) return true;
    close();
    return false;
}

bool BlockDisk::connect(uint64_t timeout_ns) {
    const int64_t port = allocate_unbound(abi::kDomIdSelf, bus_.backend_domain());
    if (port < 0) return false;
    port_ = static_cast<RawPort>(port);
    handle_event(port_, [](RawPort, void*) {});
    const bool told =
        bus_.write("ring-ref", uint64_t{ring_.gref}) && bus_.write("event-channel", uint64_t{port_}) &&
        bus_.write("protocol", abi::kBlockProtocol64) && bus_.write("feature-persistent", uint64_t{1}) &&
        bus_.set_state(XenbusState::kInitialised);
    if (!told ||
        !bus_.wait_for_backend({XenbusState::kConnected, XenbusState::kClosing, XenbusState::kClosed},
                               timeout_ns) ||
        bus_.backend_state() != XenbusState::kConnected) {
        return false;
    }
    sectors_ = bus_.backend_number("sectors").value_or(0);
    sector_size_ = static_cast<uint32_t>(bus_.backend_number("sector-size").value_or(512));
    info_ = static_cast<uint32_t>(bus_.backend_number("info").value_or(0));
    if (sector_size_ != 512 && sector_size_ != abi::kPageSize) return false;
    const uint64_t indirect = bus_.backend_number("feature-max-indirect-segments").value_or(0);
    pages_per_request_ = indirect >= kDataPages ? kDataPages : abi::kBlockMaxSegments;
    front_->set_most_indirect(kDataPages);
    return bus_.set_state(XenbusState::kConnected);
}

bool BlockDisk::close() {
    using State = XenbusState;
    bus_.set_state(State::kClosing);
    bus_.wait_for_backend({State::kClosing, State::kClosed, State::kInitWait}, kAnswerTimeoutNs);
    bus_.set_state(State::kClosed);
    bus_.wait_for_backend({State::kClosed, State::kUnknown}, kAnswerTimeoutNs);
    if (port_ != 0) {
        handle_event(port_, nullptr);
        close_port(port_);
        port_ = 0;
    }
    front_.reset();
    return end_grants();
}

bool BlockDisk::end_grants() {
    bool all = true;
    const auto end = [&all](GrantedPage& granted) {
        if (granted.page == nullptr) return;
        if (end_access(granted.gref)) {
            free_grant_ref(granted.gref);
            free_page(granted.page);
        } else {
            all = false;
        }
        granted = {};
    };
    end(ring_);
    end(descriptors_);
    for (GrantedPage& page : data_)
        end(page);
    return all;
}

unsigned BlockDisk::pieces_for(size_t bytes, std::span<BlockPiece> pieces) const {
    unsigned count = 0;
    for (size_t sectors = bytes / 512; sectors != 0; ++count) {
        const size_t here = sectors < kSectorsPerPage ? sectors : kSectorsPerPage;
        pieces[count] = {data_[count].gref, 0, static_cast<uint8_t>(here - 1)};
        sectors -= here;
    }
    return count;
}

// Shows the back end the one request that was put, and waits for its answer.
BlockStatus BlockDisk::finish() {
    if (front_->publish()) send_event(port_);
    std::optional<BlockFront::Answer> answer;
    const uint64_t deadline = system_time() + kAnswerTimeoutNs;
    while (!(answer = front_->next()) && !front_->broken() && system_time() < deadline) {
        if (front_->enable_events()) continue;
        wait_until([](void* front) { return static_cast<BlockFront*>(front)->enable_events(); }, &*front_,
                   deadline - system_time());
    }
    return answer ? answer->status : BlockStatus::kError;
}

BlockStatus BlockDisk::read(uint64_t sector, std::span<uint8_t> data) {
    BlockPiece pieces[kDataPages];
    while (!data.empty()) {
        const size_t most = size_t{pages_per_request_} * abi::kPageSize;
        const size_t bytes = data.size() < most ? data.size() : most;
        const unsigned count = pieces_for(bytes, pieces);
        if (count == 0 || !front_ || !front_->read(sector, {pieces, count}, 0)) return BlockStatus::kError;
        const BlockStatus status = finish();
        if (status != BlockStatus::kOkay) return status;
        for (size_t done = 0; done < bytes; done += abi::kPageSize) {
            const size_t here = bytes - done < abi::kPageSize ? bytes - done : abi::kPageSize;
            __builtin_memcpy(data.data() + done, data_[done / abi::kPageSize].page, here);
        }
        data = data.subspan(bytes);
        sector += bytes / 512;
    }
    return BlockStatus::kOkay;
}

BlockStatus BlockDisk::write(uint64_t sector, std::span<const uint8_t> data) {
    BlockPiece pieces[kDataPages];
    while (!data.empty()) {
        const size_t most = size_t{pages_per_request_} * abi::kPageSize;
        const size_t bytes = data.size() < most ? data.size() : most;
        for (size_t done = 0; done < bytes; done += abi::kPageSize) {
            const size_t here = bytes - done < abi::kPageSize ? bytes - done : abi::kPageSize;
            __builtin_memcpy(data_[done / abi::kPageSize].page, data.data() + done, here);
        }
        const unsigned count = pieces_for(bytes, pieces);
        if (count == 0 || !front_ || !front_->write(sector, {pieces, count}, 0)) return BlockStatus::kError;
        const BlockStatus status = finish();
        if (status != BlockStatus::kOkay) return status;
        data = data.subspan(bytes);
        sector += bytes / 512;
    }
    return BlockStatus::kOkay;
}

BlockStatus BlockDisk::flush() {
    return front_ && front_->flush(0) ? finish() : BlockStatus::kError;
}

BlockStatus BlockDisk::discard(uint64_t sector, uint64_t count) {
    return front_ && front_->discard(sector, count, 0) ? finish() : BlockStatus::kError;
}

}  // namespace torii::guest
