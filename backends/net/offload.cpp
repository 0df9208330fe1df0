#include "net/offload.h"

#include <algorithm>
#include <cstring>

#include "net/checksum.h"
#include "net/headers.h"

namespace torii::backend::net {

namespace {

constexpr size_t kTcpHeader = 20;
// No TCP cuts its stream finer (Linux sends none below 48), and each segment costs a whole frame.
constexpr uint16_t kSmallestSegment = 48;
constexpr size_t kUdpHeader = 8;
constexpr uint16_t kTcpChecksum = 16;
constexpr uint16_t kUdpChecksum = 6;
constexpr size_t kTcpFlags = 13;
constexpr uint8_t kFin = 0x01;
constexpr uint8_t kPush = 0x08;
constexpr uint8_t kCongestionWindowReduced = 0x80;

void store_sum(uint8_t* to, uint16_t sum) {
    std::memcpy(to, &sum, sizeof(sum));
}

// Length of the TCP header with options, or 0 when it isn't inside the packet.
size_t tcp_header_length(const Frame& frame, const Headers& headers) {
    if (!headers.tcp_header_present() || headers.transport + kTcpHeader > headers.end) return 0;
    const size_t length = (frame.data()[headers.transport + 12] >> 4) * size_t{4};
    return length >= kTcpHeader && headers.transport + length <= headers.end ? length : 0;
}

void put_pseudo_header(Frame& frame, const Headers& headers) {
    const uint32_t sum = pseudo_header_sum(frame.bytes(), headers, headers.end - headers.transport);
    store_sum(frame.data() + frame.info.checksum_start + frame.info.checksum_offset, fold_sum(sum));
}

// One segment's own IP lengths, identification and checksum.
void adjust_ip(Frame& frame, const Headers& headers, uint32_t index) {
    uint8_t* const ip = frame.data() + headers.network;
    const size_t length = frame.size() - headers.network;
    if (headers.ip_version == 6) {
        write_be16(ip + 4, static_cast<uint32_t>(length - 40));
        return;
    }
    write_be16(ip + 2, static_cast<uint32_t>(length));
    write_be16(ip + 4, read_be16(ip + 4) + index);
    store_sum(ip + 10, 0);
    const size_t header = headers.transport - headers.network;
    store_sum(ip + 10, static_cast<uint16_t>(~fold_sum(add_to_sum(0, {ip, header}))));
}

}  // namespace

bool prepare_checksum(Frame& frame) {
    const Headers headers = find_headers(frame.bytes());
    if (headers.ip_version == 0 || headers.malformed || headers.truncated || headers.fragment ||
        headers.transport == 0) {
        return false;
    }
    const size_t left = headers.end - headers.transport;
    if (headers.protocol == kProtocolTcp && left >= kTcpHeader) {
        frame.info.checksum_offset = kTcpChecksum;
    } else if (headers.protocol == kProtocolUdp && left >= kUdpHeader) {
        frame.info.checksum_offset = kUdpChecksum;
    } else {
        return false;
    }
    frame.info.checksum = Checksum::kPartial;
    frame.info.checksum_start = headers.transport;
    // What is behind the packet (padding) would be summed up with it.
    frame.shorten(headers.end);
    put_pseudo_header(frame, headers);
    return true;
}

void complete_checksum(Frame& frame) {
    const size_t start = frame.info.checksum_start;
    uint8_t* const place = frame.data() + start + frame.info.checksum_offset;
    uint16_t sum = static_cast<uint16_t>(~fold_sum(add_to_sum(0, frame.bytes().subspan(start))));
    // RFC 768: zero would mean that there is none. The same value, written the other way.
    if (sum == 0 && frame.info.checksum_offset == kUdpChecksum) sum = 0xFFFF;
    store_sum(place, sum);
    frame.info.checksum = Checksum::kVerified;
}

bool prepare_gso(Frame& frame) {
    FrameInfo& info = frame.info;
    const Headers headers = find_headers(frame.bytes());
    const uint8_t version = info.gso == Gso::kTcpV6 ? 6 : 4;
    if (info.gso_size == 0 || headers.ip_version != version || headers.malformed || headers.truncated ||
        headers.fragment) {
        return false;
    }
    const size_t tcp = tcp_header_length(frame, headers);
    if (tcp == 0) return false;
    // A sender of segments leaves their checksums too; one who says otherwise is put right.
    if (info.checksum != Checksum::kPartial && !prepare_checksum(frame)) return false;
    if (info.checksum_start != headers.transport || info.checksum_offset != kTcpChecksum) return false;
    frame.shorten(headers.end);
    info.header_length = static_cast<uint16_t>(headers.transport + tcp);
    if (frame.size() <= size_t{info.header_length} + info.gso_size) {
        info.gso = Gso::kNone;
        info.gso_size = 0;
    }
    return info.gso == Gso::kNone || info.gso_size >= kSmallestSegment;
}

bool check_offsets(Frame& frame) {
    const FrameInfo& info = frame.info;
    if (frame.size() < kEthernetHeader) return false;
    if (info.checksum == Checksum::kPartial &&
        (info.checksum_start < kEthernetHeader ||
         size_t{info.checksum_start} + info.checksum_offset + 2 > frame.size())) {
        return false;
    }
    return info.gso == Gso::kNone || prepare_gso(frame);
}

std::vector<FramePtr> segment(const Frame& frame, bool fill_checksums) {
    const Headers headers = find_headers(frame.bytes());
    const size_t header = frame.info.header_length;
    const std::span<const uint8_t> payload = frame.bytes().subspan(header);
    std::vector<FramePtr> segments;
    segments.reserve(payload.size() / frame.info.gso_size + 1);
    for (size_t done = 0; done < payload.size(); done += frame.info.gso_size) {
        const size_t length = std::min<size_t>(frame.info.gso_size, payload.size() - done);
        FramePtr piece = Frame::make(header + length);
        piece->info = frame.info;
        piece->info.gso = Gso::kNone;
        piece->info.gso_size = 0;
        std::memcpy(piece->data(), frame.data(), header);
        std::memcpy(piece->data() + header, payload.data() + done, length);

        uint8_t* const tcp = piece->data() + headers.transport;
        write_be32(tcp + 4, read_be32(tcp + 4) + static_cast<uint32_t>(done));
        if (done != 0) tcp[kTcpFlags] &= static_cast<uint8_t>(~kCongestionWindowReduced);
        if (done + length != payload.size()) tcp[kTcpFlags] &= static_cast<uint8_t>(~(kFin | kPush));
        adjust_ip(*piece, headers, static_cast<uint32_t>(segments.size()));
        Headers own = headers;
        own.end = static_cast<uint16_t>(piece->size());
        put_pseudo_header(*piece, own);
        if (fill_checksums) complete_checksum(*piece);
        segments.push_back(std::move(piece));
    }
    return segments;
}

void shape(FramePtr frame, const Takes& takes, std::vector<FramePtr>& shaped) {
    const FrameInfo& info = frame->info;
    bool checksum = takes.partial_checksum_v4;
    if (info.checksum == Checksum::kPartial && takes.partial_checksum_v4 != takes.partial_checksum_v6 &&
        find_headers(frame->bytes()).ip_version == 6) {
        checksum = takes.partial_checksum_v6;
    }
    if ((info.gso == Gso::kTcpV4 && !takes.segmentation_v4) ||
        (info.gso == Gso::kTcpV6 && !takes.segmentation_v6)) {
        for (FramePtr& piece : segment(*frame, !checksum))
            shaped.push_back(std::move(piece));
        return;
    }
    if (info.checksum == Checksum::kPartial && !checksum) complete_checksum(*frame);
    shaped.push_back(std::move(frame));
}

}  // namespace torii::backend::net
