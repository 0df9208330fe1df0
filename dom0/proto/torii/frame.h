#pragma once
// Framing of the control socket: each message is preceded by its length as four bytes, least significant
// first. The same on both ends, and between the daemon and its builder processes.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace torii {

// Bounds what a peer can make the other end hold. The largest message carries a piece of log.
inline constexpr size_t kMaxFrameBytes = 1u << 20;
inline constexpr size_t kFrameHeaderBytes = 4;

// Throws Failure (kOverflow) when `body` is longer than kMaxFrameBytes.
std::string encode_frame(std::string_view body);

// Collects bytes as they arrive and hands out whole messages.
class FrameReader {
public:
    void append(std::string_view bytes) { pending_.append(bytes); }

    // The next whole message, or nothing yet. Throws Failure (kRpc) for a length above kMaxFrameBytes: the
    // stream cannot be followed any further.
    std::optional<std::string> next();

    size_t buffered() const { return pending_.size() - consumed_; }

private:
    std::string pending_;
    size_t consumed_ = 0;
};

}  // namespace torii
