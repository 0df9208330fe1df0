#include "net/frame.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <vector>

namespace torii::backend::net {

// Buffers of three sizes: most frames fit the smallest. A thread keeps a bounded number of each.
class FramePool {
public:
    static FramePool& of_thread() {
        thread_local FramePool pool;
        return pool;
    }

    Frame* take(size_t length) {
        size_t kind = 0;
        while (kCapacity[kind] < length)
            ++kind;
        if (!free_[kind].empty()) {
            void* const memory = free_[kind].back();
            free_[kind].pop_back();
            return new (memory) Frame(kCapacity[kind], static_cast<uint32_t>(length));
        }
        void* const memory = ::operator new(sizeof(Frame) + kCapacity[kind]);
        return new (memory) Frame(kCapacity[kind], static_cast<uint32_t>(length));
    }

    void give_back(Frame* frame) noexcept {
        size_t kind = 0;
        while (kCapacity[kind] != frame->capacity_)
            ++kind;
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
    static constexpr std::array<uint32_t, 3> kCapacity = {2048, 16384, kMaxFrame};

    FramePool() {
        free_[0].reserve(1024);
        free_[1].reserve(256);
        free_[2].reserve(64);
    }

    std::array<std::vector<void*>, kCapacity.size()> free_;
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
