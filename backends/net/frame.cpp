#include "net/frame.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <vector>

namespace torii::backend::net {

// Buffers of two sizes: most frames fit a small one. A thread keeps a bounded number of each.
class FramePool {
public:
    static FramePool& of_thread() {
        thread_local FramePool pool;
        return pool;
    }

    Frame* take(size_t length) {
        const size_t kind = length <= kCapacity[0] ? 0 : 1;
        if (!free_[kind].empty()) {
            void* const memory = free_[kind].back();
            free_[kind].pop_back();
            return new (memory) Frame(kCapacity[kind], static_cast<uint32_t>(length));
        }
        void* const memory = ::operator new(sizeof(Frame) + kCapacity[kind]);
        return new (memory) Frame(kCapacity[kind], static_cast<uint32_t>(length));
    }

    void give_back(Frame* frame) noexcept {
        const size_t kind = frame->capacity_ == kCapacity[0] ? 0 : 1;
        frame->~Frame();
        if (free_[kind].size() < free_[kind].capacity())
            free_[kind].push_back(frame);
        else
            ::operator delete(frame);
    }

    ~FramePool() {
        for (const auto& list : free_)
            for (void* const memory : list)
                ::operator delete(memory);
    }

private:
    static constexpr uint32_t kCapacity[2] = {2048, kMaxFrame};

    FramePool() {
        free_[0].reserve(1024);
        free_[1].reserve(64);
    }

    std::array<std::vector<void*>, 2> free_;
};

void FrameRecycler::operator()(Frame* frame) const noexcept {
    FramePool::of_thread().give_back(frame);
}

FramePtr Frame::make(size_t capacity) {
    return FramePtr(FramePool::of_thread().take(std::min(capacity, kMaxFrame)));
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
