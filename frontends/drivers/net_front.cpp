#include "drivers/net_front.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace torii::guest {

NetFront::NetFront(NetFrontHost& host, const Pages& pages)
    : host_(host), pages_(pages), tx_(pages.tx_ring, kPageSize), rx_(pages.rx_ring, kPageSize) {
    tx_count_ = std::min(pages.tx_buffers.size() / kPageSize, kRingEntries);
    rx_count_ = std::min(pages.rx_buffers.size() / kPageSize, kRingEntries);
}

void NetFront::start() {
    tx_ring_ref_ = host_.grant(pages_.tx_ring, false);
    rx_ring_ref_ = host_.grant(pages_.rx_ring, false);
    for (size_t index = 0; index < tx_count_; ++index) {
        tx_buffers_[index].gref = host_.grant(pages_.tx_buffers.data() + index * kPageSize, true);
        free_tx_list_[free_tx_++] = static_cast<uint16_t>(index);
    }
    for (size_t index = 0; index < rx_count_; ++index) {
        rx_buffers_[index].gref = host_.grant(rx_page(index), false);
        free_rx_list_[free_rx_++] = static_cast<uint16_t>(index);
    }
    offer_buffers();
}

size_t NetFront::stop() {
    broken_ = true;
    size_t held = 0;
    const auto end = [&](abi::RawGrantRef gref) { held += host_.end_grant(gref) ? 0 : 1; };
    end(tx_ring_ref_);
    end(rx_ring_ref_);
    for (size_t index = 0; index < tx_count_; ++index)
        end(tx_buffers_[index].gref);
    for (size_t index = 0; index < rx_count_; ++index)
        end(rx_buffers_[index].gref);
    return held;
}

// --- sending

bool NetFront::send(std::span<const uint8_t> frame, const NetFrameInfo& info) {
    if (broken_ || frame.empty() || frame.size() > kMaxFrame) return false;
    const size_t buffers = (frame.size() + kPageSize - 1) / kPageSize;
    const bool segments = info.gso != abi::NetGsoType::kNone;
    if (buffers > free_tx_ || tx_.free_requests() < buffers + (segments ? 1 : 0)) return false;
    for (size_t index = 0; index < buffers; ++index) {
        const auto part =
            frame.subspan(index * kPageSize, std::min(kPageSize, frame.size() - index * kPageSize));
        const uint16_t id = take_tx_buffer();
        std::memcpy(pages_.tx_buffers.data() + id * kPageSize, part.data(), part.size());
        abi::TxRequest request{.gref = tx_buffers_[id].gref, .offset = 0, .flags = 0, .id = id, .size = 0};
        request.size = static_cast<uint16_t>(index == 0 ? frame.size() : part.size());
        if (index + 1 != buffers) request.flags |= abi::kTxMoreData;
        if (index == 0) {
            if (info.checksum_blank) request.flags |= abi::kTxChecksumBlank | abi::kTxDataValidated;
            if (info.data_validated) request.flags |= abi::kTxDataValidated;
            if (segments) request.flags |= abi::kTxExtraInfo;
        }
        tx_.put(request);
        if (index != 0 || !segments) continue;
        abi::NetExtraInfo extra{.type = abi::NetExtraType::kGso, .flags = 0, .u = {}};
        extra.u.gso = {.size = info.gso_size, .type = info.gso, .pad = 0, .features = 0};
        put_extra(extra);
    }
    if (tx_.publish()) host_.notify_transmit();
    return true;
}

bool NetFront::change_multicast(const uint8_t (&address)[6], bool add) {
    if (broken_ || free_tx_ == 0 || tx_.free_requests() < 2) return false;
    const uint16_t id = take_tx_buffer();
    tx_.put({.gref = tx_buffers_[id].gref, .offset = 0, .flags = abi::kTxExtraInfo, .id = id, .size = 0});
    abi::NetExtraInfo extra{
        .type = add ? abi::NetExtraType::kMulticastAdd : abi::NetExtraType::kMulticastDelete,
        .flags = 0,
        .u = {}};
    std::memcpy(extra.u.mcast.addr, address, sizeof(address));
    put_extra(extra);
    if (tx_.publish()) host_.notify_transmit();
    return true;
}

bool NetFront::put_extra(const abi::NetExtraInfo& extra) {
    abi::TxRequest entry{};
    std::memcpy(&entry, &extra, sizeof(extra));
    return tx_.put(entry);
}

uint16_t NetFront::take_tx_buffer() {
    const uint16_t id = free_tx_list_[--free_tx_];
    tx_buffers_[id].in_use = true;
    return id;
}

// --- what comes

void NetFront::poll() {
    if (!broken_) poll_transmit();
    if (!broken_) poll_receive();
}

void NetFront::poll_transmit() {
    do {
        while (const auto response = tx_.take()) {
            if (response->status == static_cast<int16_t>(abi::NetResponse::kNull)) continue;
            // Answered twice, or never asked.
            if (response->id >= tx_count_ || !tx_buffers_[response->id].in_use) {
                broken_ = true;
                return;
            }
            if (response->status != static_cast<int16_t>(abi::NetResponse::kOkay)) ++transmit_errors_;
            tx_buffers_[response->id].in_use = false;
            free_tx_list_[free_tx_++] = response->id;
        }
    } while (tx_.enable_events());
    broken_ = broken_ || tx_.broken();
}

void NetFront::poll_receive() {
    // Not for ever, if the back end answers as fast as buffers are offered.
    for (unsigned round = 0; round < 16 && !broken_; ++round) {
        while (!broken_) {
            const auto response = rx_.take();
            if (!response) break;
            take_slot(*response, rx_taken_++);
        }
        offer_buffers();
        if (!rx_.enable_events()) break;
    }
    broken_ = broken_ || rx_.broken();
}

void NetFront::take_slot(const abi::RxResponse& response, uint32_t slot) {
    const uint16_t buffer = rx_slots_[slot % kRingEntries];
    if (assembly_.extras) {
        take_extra(std::bit_cast<abi::NetExtraInfo>(response));
    } else {
        take_fragment(response, slot);
    }
    rx_buffers_[buffer].in_use = false;
    free_rx_list_[free_rx_++] = buffer;
    if (!broken_ && assembly_.begun && !assembly_.extras && !assembly_.more_fragments) finish_frame();
}

void NetFront::take_extra(const abi::NetExtraInfo& extra) {
    assembly_.extras = (extra.flags & abi::kNetExtraMore) != 0;
    NetFrameInfo& info = assembly_.info;
    if (extra.type == abi::NetExtraType::kGso) {
        const bool known =
            extra.u.gso.type == abi::NetGsoType::kTcpV4 || extra.u.gso.type == abi::NetGsoType::kTcpV6;
        if (!known || extra.u.gso.size == 0) assembly_.failed = true;
        info.gso = extra.u.gso.type;
        info.gso_size = extra.u.gso.size;
    } else if (extra.type == abi::NetExtraType::kHash) {
        info.hash_present = true;
        info.hash = 0;
        for (unsigned byte = 0; byte < 4; ++byte)
            info.hash |= uint32_t{extra.u.hash.value[byte]} << (byte * 8);
    } else {
        broken_ = true;
    }
}

void NetFront::take_fragment(const abi::RxResponse& response, uint32_t slot) {
    if (!assembly_.begun) {
        assembly_ = {};
        assembly_.begun = true;
        assembly_.info.checksum_blank = (response.flags & abi::kRxChecksumBlank) != 0;
        assembly_.info.data_validated = (response.flags & abi::kRxDataValidated) != 0;
        assembly_.extras = (response.flags & abi::kRxExtraInfo) != 0;
    }
    assembly_.more_fragments = (response.flags & abi::kRxMoreData) != 0;
    if (response.status < 0) {
        assembly_.failed = true;
        return;
    }
    const size_t length = static_cast<size_t>(response.status);
    if (response.offset + length > kPageSize) {
        broken_ = true;
        return;
    }
    if (length > pages_.frame.size() - assembly_.length) {
        assembly_.failed = true;
        return;
    }
    const uint16_t buffer = rx_slots_[slot % kRingEntries];
    // The page is still granted; the copy is what is looked at.
    ring::copy_once(pages_.frame.data() + assembly_.length, rx_page(buffer) + response.offset, length);
    assembly_.length += length;
}

void NetFront::finish_frame() {
    assembly_.begun = false;
    if (assembly_.failed || assembly_.length == 0) {
        ++receive_errors_;
        return;
    }
    host_.received(pages_.frame.first(assembly_.length), assembly_.info);
}

void NetFront::offer_buffers() {
    bool any = false;
    while (free_rx_ != 0 && rx_.free_requests() != 0) {
        const uint16_t buffer = free_rx_list_[--free_rx_];
        const uint32_t slot = rx_offered_++ % kRingEntries;
        rx_slots_[slot] = buffer;
        rx_buffers_[buffer].in_use = true;
        rx_.put({.id = static_cast<uint16_t>(slot), .pad = 0, .gref = rx_buffers_[buffer].gref});
        any = true;
    }
    if (any && rx_.publish()) host_.notify_receive();
}

}  // namespace torii::guest
