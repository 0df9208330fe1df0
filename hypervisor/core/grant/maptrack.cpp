#include "core/grant/maptrack.h"

#include <new>

#include "base/bounded_index.h"
#include "core/memory/heap.h"

namespace torii {

Maptrack::~Maptrack() {
    ASSERT(in_use_ == 0);
    for (uint32_t i = 0; i * kMappingsPerFrame < used_.load(std::memory_order_relaxed); ++i)
        heap_free(frames_[i]);
    heap_free(static_cast<void*>(frames_));
}

Result<> Maptrack::create(uint32_t frame_limit) {
    ASSERT(frames_ == nullptr);
    if (frame_limit > kNone / kMappingsPerFrame) return Errno::kEINVAL;
    if (frame_limit == 0) return {};
    frames_ = static_cast<GrantMapping**>(TRY(heap_allocate(frame_limit * sizeof(GrantMapping*))));
    frame_limit_ = frame_limit;
    return {};
}

GrantMapping& Maptrack::at(GrantHandle handle) const {
    return frames_[handle.raw() / kMappingsPerFrame][handle.raw() % kMappingsPerFrame];
}

Result<GrantHandle> Maptrack::reserve() {
    const LockGuard guard(lock_);
    GrantHandle handle(first_free_);
    if (first_free_ != kNone) [[likely]] {
        first_free_ = at(handle).ref.raw();
    } else {
        const uint32_t used = used_.load(std::memory_order_relaxed);
        if (used % kMappingsPerFrame == 0) {
            if (used / kMappingsPerFrame == frame_limit_) return Errno::kENOSPC;
            auto* const page = static_cast<GrantMapping*>(TRY(heap_allocate(kPageSize)));
            for (uint32_t i = 0; i < kMappingsPerFrame; ++i)
                new (page + i) GrantMapping;
            frames_[used / kMappingsPerFrame] = page;
        }
        handle = GrantHandle(used);
        used_.store(used + 1, std::memory_order_release);
    }
    at(handle).state.store(kClaimed, std::memory_order_relaxed);
    ++in_use_;
    return handle;
}

GrantMapping* Maptrack::claim(GrantHandle handle) {
    const uint32_t used = used_so_far();
    if (handle.raw() >= used) return nullptr;
    GrantMapping& mapping = at(GrantHandle(static_cast<uint32_t>(bounded(handle.raw(), used))));
    uint16_t seen = mapping.state.load(std::memory_order_relaxed);
    if (seen == 0 || (seen & kClaimed) != 0) return nullptr;
    const auto claimed = static_cast<uint16_t>(seen | kClaimed);
    if (!mapping.state.compare_exchange_strong(seen, claimed, std::memory_order_acquire,
                                               std::memory_order_relaxed))
        return nullptr;
    return &mapping;
}

void Maptrack::release(GrantHandle handle) {
    const LockGuard guard(lock_);
    GrantMapping& mapping = at(handle);
    ASSERT((mapping.state.load(std::memory_order_relaxed) & kClaimed) != 0);
    mapping.ref = GrantRef(first_free_);
    mapping.state.store(0, std::memory_order_relaxed);
    first_free_ = handle.raw();
    --in_use_;
}

}  // namespace torii
