#pragma once
// An Ethernet frame on its way through the backend, without its checksum, and what its sender left to whoever
// needs it done: a checksum to fill in, a TCP stream to cut into segments. It says the same as the header
// that a tap device takes with each frame (virtio 1.1, 5.1.6.1).
//
// Buffers come from a pool of the thread and go back to that of the thread that drops them: a frame may be
// handed from one thread to another, but is one thread's at any time. What is in a buffer from before is
// never part of a frame: `length` counts bytes that were written for it.
//
// A copy from or to a guest costs one more for each page of ours that it crosses. So a short frame lies in
// one page, and a long one has whichever byte of it at the beginning of a page that is best for its copies.
// Before the first byte there is room for the header with which a device takes the frame in one piece.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace torii::backend::net {

inline constexpr size_t kEthernetHeader = 14;
inline constexpr size_t kMaxFrame = 65535;
inline constexpr size_t kHeadroom = 16;

enum class Checksum : uint8_t {
    kUnknown,   // in place; nobody has looked whether it is right
    kVerified,  // in place and right, or never left this machine
    kPartial,   // the sum of the pseudo-header stands at checksum_start + checksum_offset: sum up from
                // checksum_start to the end
};

enum class Gso : uint8_t {
    kNone,
    kTcpV4,
    kTcpV6,
};

// A hash that the receiver asked for (abi::NetExtraHash).
struct FlowHash {
    uint32_t value = 0;
    uint8_t type = 0;
    bool present = false;
};

struct FrameInfo {
    Checksum checksum = Checksum::kUnknown;
    uint16_t checksum_start = 0;
    uint16_t checksum_offset = 0;
    Gso gso = Gso::kNone;
    uint16_t gso_size = 0;       // payload bytes per segment, not zero with gso
    uint16_t header_length = 0;  // with gso: bytes before the payload
    FlowHash hash;
};

class Frame;
struct FrameRecycler {
    void operator()(Frame* frame) const noexcept;
};
using FramePtr = std::unique_ptr<Frame, FrameRecycler>;

class Frame {
public:
    // With room for `capacity` bytes, at most kMaxFrame, and a length of `capacity`, whose content the caller
    // writes. A long one has its byte number `lead` at the beginning of a page.
    static FramePtr make(size_t capacity, size_t lead = 0);
    static FramePtr copy_of(const Frame& other);
    static FramePtr copy_of(std::span<const uint8_t> bytes);

    FrameInfo info;

    std::span<uint8_t> bytes() { return {data(), length_}; }
    std::span<const uint8_t> bytes() const { return {data(), length_}; }
    uint8_t* data() { return reinterpret_cast<uint8_t*>(this) + start_; }
    const uint8_t* data() const { return reinterpret_cast<const uint8_t*>(this) + start_; }
    size_t size() const { return length_; }
    // Together with so many bytes before them, at most kHeadroom, which are nobody else's.
    std::span<uint8_t> with_room(size_t before) { return {data() - before, before + length_}; }
    // What it takes, however short it is.
    size_t memory() const;
    void shorten(size_t length) {
        if (length < length_) length_ = static_cast<uint32_t>(length);
    }

private:
    friend struct FrameRecycler;
    friend class FramePool;
    Frame(uint8_t kind, bool lent, uint32_t start, uint32_t length)
        : start_(start), length_(length), kind_(kind), lent_(lent) {}

    uint32_t start_;  // of its bytes, from this object on
    uint32_t length_;
    uint8_t kind_;
    bool lent_;  // from the thread's CopyMemory
};

}  // namespace torii::backend::net
