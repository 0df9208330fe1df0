#include "core/console/log_ring.h"

#include <cstring>

namespace torii {
namespace {

constexpr uint32_t kMask = kLogRingBytes - 1;
static_assert((kLogRingBytes & kMask) == 0);

}  // namespace

void LogRing::append(std::string_view text) {
    if (text.size() > kLogRingBytes) text.remove_prefix(text.size() - kLogRingBytes);
    const auto size = static_cast<uint32_t>(text.size());
    const uint32_t at = end_ & kMask;
    const uint32_t until_wrap = kLogRingBytes - at;
    const uint32_t first = size < until_wrap ? size : until_wrap;
    memcpy(bytes_ + at, text.data(), first);
    memcpy(bytes_, text.data() + first, size - first);
    end_ += size;
    if (end_ - begin_ > kLogRingBytes) begin_ = end_ - kLogRingBytes;
}

size_t LogRing::read(uint32_t& position, std::span<char> out) const {
    // A position outside of [begin, end] was overtaken or never came from here.
    if (position - begin_ > end_ - begin_) position = begin_;
    const uint32_t available = end_ - position;
    const uint32_t size = out.size() < available ? static_cast<uint32_t>(out.size()) : available;
    const uint32_t at = position & kMask;
    const uint32_t until_wrap = kLogRingBytes - at;
    const uint32_t first = size < until_wrap ? size : until_wrap;
    memcpy(out.data(), bytes_ + at, first);
    memcpy(out.data() + first, bytes_, size - first);
    position += size;
    return size;
}

void LogRing::forget_until(uint32_t position) {
    if (position - begin_ <= end_ - begin_) begin_ = position;
}

}  // namespace torii
