// Any request against any rules: what is accepted lies inside the device and inside its pages.

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "block/block_request.h"
#include "fuzz/input.h"

namespace torii::backend {
namespace {

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

void check(const BlockAsk& ask, const BlockRules& rules) {
    require(ask.offset <= rules.bytes && ask.length <= rules.bytes - ask.offset, "beyond the device");
    require(ask.offset % rules.block_size == 0 && ask.length % rules.block_size == 0, "between blocks");
    require(!rules.read_only || ask.action == BlockAction::kRead || ask.action == BlockAction::kFlush,
            "a read-only device is written");
    uint64_t sum = 0;
    for (const PageSegment& segment : ask.segments) {
        require(segment.length != 0 && segment.offset + segment.length <= 4096, "a segment beyond its page");
        sum += segment.length;
    }
    if (ask.action == BlockAction::kDiscard) return;
    require(sum == ask.length, "the segments are not the length");
    require(ask.length <= upper_bound(ask), "more than was said");
}

}  // namespace
}  // namespace torii::backend

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace torii;
    using namespace torii::backend;
    fuzz::Input input(data, size);
    BlockRules rules;
    rules.unit_shift = input.choice(2) == 0 ? 9 : 12;
    rules.block_size = input.choice(2) == 0 ? 1u << rules.unit_shift : 4096;
    rules.bytes = (input.choice(2) == 0 ? input.word() : input.number() >> 1) / 4096 * 4096;
    rules.read_only = input.choice(2) == 0;
    rules.can_discard = input.choice(2) == 0;
    BlockAsk ask;
    while (!input.at_end()) {
        abi::BlockRequest request{};
        const std::string bytes = input.bytes(sizeof(request));
        std::memcpy(&request, bytes.data(), bytes.size());
        request.operation %= 8;
        if (parse_request(request, rules, ask) != abi::BlockStatus::kOkay) continue;
        if (ask.indirect_segments == 0) {
            check(ask, rules);
            continue;
        }
        require(ask.indirect_pages.size() == 1 && ask.indirect_segments <= kMaxIndirectSegments, "too many");
        std::vector<abi::BlockSegment> segments(ask.indirect_segments);
        for (abi::BlockSegment& segment : segments) {
            segment.gref = input.word();
            segment.first_sect = input.byte() % 16;
            segment.last_sect = input.byte() % 16;
        }
        if (add_segments(segments, rules, ask) == abi::BlockStatus::kOkay) check(ask, rules);
    }
    return 0;
}
