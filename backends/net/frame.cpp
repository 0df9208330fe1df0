#include "net/frame.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <vector>

#include "common/copy_memory.h"
#include "common/guest_memory.h"

namespace torii::backend::net {
namespace {

// Buffers of three sizes: most frames fit the smallest, of which two make a page. In the others the bytes
// begin in the first page behind the object, or as far before its end as `lead` says.
struct Kind {
    size_t capacity;  // bytes of a frame
    size_t memory;
};
constexpr size_t kHead = 64;  // sizeof(Frame), the headroom, and what aligns it
constexpr std::array<Kind, 3> kKinds = {
    {{2048 - kHead, 2048}, {16384, 16384 + 2 * kGuestPageSize}, {kMaxFrame, 65536 + 2 * kGuestPageSize}}};
static_assert(sizeof(Frame) + kHeadroom <= kHead);

uint32_t start_of(size_t kind, size_t lead) {
    if (kind == 0) return kHead;
    const size_t before = lead % kGuestPageSize;
    return static_cast<uint32_t>((before <= kGuestPageSize - kHead ? 1 : 2) * kGuestPageSize - before);
}

}  // namespace

// A thread keeps a bounded number of buffers of each size, and all those of its CopyMemory.
class FramePool {
public:
    static FramePool& of_thread() {
        thread_local FramePool pool;
        return pool;
    }

    Frame* take(size_t length, size_t lead) {
        uint8_t kind = 0;
        while (kKinds[kind].capacity < length)
            ++kind;
        if (free_[kind].empty()) add(kind);
        const Buffer buffer = free_[kind].back();
        free_[kind].pop_back();
        return new (buffer.memory)
            Frame(kind, buffer.lent, start_of(kind, lead), static_cast<uint32_t>(length));
    }

    void give_back(Frame* frame) noexcept {
        const uint8_t kind = frame->kind_;
        const Buffer buffer{frame, frame->lent_};
        frame->~Frame();
        if (buffer.lent || free_[kind].size() < kKept[kind])
            free_[kind].push_back(buffer);
        else
            release(kind, buffer.memory);
    }

    ~FramePool() {
        for (size_t kind = 0; kind < kKinds.size(); ++kind) {
            for (const Buffer& buffer : free_[kind]) {
                if (!buffer.lent) release(kind, buffer.memory);
            }
        }
    }

private:
    struct Buffer {
        void* memory;
        bool lent;
    };
    static constexpr std::array<size_t, kKinds.size()> kKept = {1024, 256, 64};

    FramePool() {
        for (size_t kind = 0; kind < kKinds.size(); ++kind)
            free_[kind].reserve(kKept[kind]);
    }

    static std::align_val_t alignment(size_t kind) {
        return std::align_val_t{std::min(kKinds[kind].memory, kGuestPageSize)};
    }
    static void release(size_t kind, void* memory) { ::operator delete(memory, alignment(kind)); }

    // At least one buffer.
    void add(uint8_t kind) {
        // Room for all that there can be, so that giving back never fails.
        const size_t bytes = std::max(kKinds[kind].memory, kGuestPageSize);
        CopyMemory* const lender = copy_memory_of_thread();
        std::byte* memory = lender != nullptr ? lender->take(bytes).data() : nullptr;
        const bool lent = memory != nullptr;
        const size_t buffers = lent ? bytes / kKinds[kind].memory : 1;
        made_[kind] += buffers;
        free_[kind].reserve(std::max(made_[kind], kKept[kind]));
        if (!lent) memory = static_cast<std::byte*>(::operator new(kKinds[kind].memory, alignment(kind)));
        for (size_t i = 0; i < buffers; ++i)
            free_[kind].push_back({memory + i * kKinds[kind].memory, lent});
    }

    std::array<std::vector<Buffer>, kKinds.size()> free_;
    std::array<size_t, kKinds.size()> made_{};
};

size_t Frame::memory() const {
    return kKinds[kind_].memory;
}

void FrameRecycler::operator()(Frame* frame) const noexcept {
    FramePool::of_thread().give_back(frame);
}

FramePtr Frame::make(size_t capacity, size_t lead) {
    return FramePtr(FramePool::of_thread().take(std::min(capacity, kMaxFrame), lead));
}

FramePtr Frame::copy_of(const Frame& other) {
    FramePtr frame = copy_of(other.bytes());
    frame->info = other.info;
    return frame;
}

FramePtr Frame::copy_of(std::span<const uint8_t> bytes) {
    FramePtr frame = make(bytes.size());
    std::memcpy(frame->data(), bytes.data(), frame->size());
    return frame;
}

}  // namespace torii::backend::net
