#pragma once
// How the rings touch memory that a peer may change at any moment.

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace torii::ring {

// An index that the peer publishes: what it wrote before the index is visible after this.
inline uint32_t load_peer_index(const uint32_t& index) {
    return std::atomic_ref<uint32_t>(const_cast<uint32_t&>(index)).load(std::memory_order_acquire);
}

// Publishes an index: what was written before it becomes visible first.
inline void store_own_index(uint32_t& index, uint32_t value) {
    std::atomic_ref<uint32_t>(index).store(value, std::memory_order_release);
}

inline uint32_t load_relaxed(const uint32_t& index) {
    return std::atomic_ref<uint32_t>(const_cast<uint32_t&>(index)).load(std::memory_order_relaxed);
}

// Orders an own index written before it against a peer's index read after it: each side writes one and then
// looks at the other, and at least one must see the other's write or an event is lost.
inline void full_barrier() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

// Copies out of shared memory exactly once. The barrier keeps the compiler from reading the original again in
// place of the copy, after the peer may have changed it.
inline void copy_once(void* target, const void* source, size_t size) {
    __builtin_memcpy(target, source, size);
    asm volatile("" ::: "memory");
}

}  // namespace torii::ring
