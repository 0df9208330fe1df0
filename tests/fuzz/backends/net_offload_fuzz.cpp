// Frames of a guest, whole or damaged, as they are looked into: filter, checksums, segments, hashes. Nothing
// reads or writes beyond a frame; whatever is cut into segments has the payload of the frame, in order.
#include <cstdlib>

#include "fuzz/input.h"
#include "net/filter.h"
#include "net/flow_hash.h"
#include "net/offload.h"
#include "net/tap_port.h"
#include "unit/backends/net/packets.h"

namespace torii::backend::net {
namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

std::string make_frame(fuzz::Input& input) {
    test::PacketOptions options;
    options.version_6 = input.choice(2) != 0;
    options.tcp = input.choice(4) != 0;
    options.vlan = input.choice(4) == 0;
    options.ip_options = 8 * input.choice(4);
    options.tcp_options = 4 * input.choice(10);
    const test::Bytes frame = test::make_packet(options, test::Bytes(input.word() % 9000, 0x5A));
    return {frame.begin(), frame.end()};
}

void check_segments(const Frame& frame) {
    test::Bytes payload;
    for (const FramePtr& piece : segment(frame, true)) {
        require(piece->size() <= size_t{frame.info.header_length} + frame.info.gso_size);
        payload.insert(payload.end(), piece->bytes().begin() + frame.info.header_length,
                       piece->bytes().end());
    }
    const auto whole = frame.bytes().subspan(frame.info.header_length);
    require(std::equal(payload.begin(), payload.end(), whole.begin(), whole.end()));
}

void run(fuzz::Input& input) {
    TapHeader header{};
    header.flags = input.byte();
    header.gso_type = input.byte();
    header.gso_size = static_cast<uint16_t>(input.word());
    header.checksum_start = static_cast<uint16_t>(input.word());
    header.checksum_offset = static_cast<uint16_t>(input.word());
    const bool from_tap = input.choice(2) != 0;
    const Gso gso = static_cast<Gso>(input.choice(3));
    const bool blank = input.choice(2) != 0;
    const Takes takes = {input.choice(2) != 0, input.choice(2) != 0, input.choice(2) != 0,
                         input.choice(2) != 0};
    HashSettings hash;
    hash.algorithm = abi::NetHashAlgorithm::kToeplitz;
    hash.types = input.choice(16);
    std::string bytes = make_frame(input);
    bytes = input.damage(bytes);
    if (bytes.size() < kEthernetHeader) return;
    FramePtr frame = Frame::copy_of({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});

    if (from_tap) {
        if (!info_from_tap(header, *frame)) return;
    } else {
        frame->info.gso = gso;
        frame->info.gso_size = gso == Gso::kNone ? uint16_t{0} : header.gso_size;
        if (blank && !prepare_checksum(*frame)) return;
        if (frame->info.gso != Gso::kNone && !prepare_gso(*frame)) return;
    }
    FilterConfig config = {.own_mac_only = false, .ipv4 = {test::kIpA}, .ipv6 = {test::ipv6("fd00::1")}};
    (void)Filter(config, test::kMacA).passes(frame->bytes());
    const FlowHash flow = hash_flow(hash, frame->bytes());
    require(choose_queue(hash, flow, frame->bytes(), 3) < 3);
    if (frame->info.gso != Gso::kNone) check_segments(*frame);
    std::vector<FramePtr> shaped;
    shape(std::move(frame), takes, shaped);
    require(!shaped.empty());
}

}  // namespace
}  // namespace torii::backend::net

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    torii::fuzz::Input input(data, size);
    torii::backend::net::run(input);
    return 0;
}
