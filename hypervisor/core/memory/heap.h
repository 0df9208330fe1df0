// The hypervisor's own small objects: powers of two from 32 bytes to half a page out of single frames, larger
// ones as whole blocks of frames. Everything comes zeroed and lies in the direct map.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

#include "base/result.h"

namespace torii {

// Zeroed memory, aligned to its size rounded up to a power of two (at most a page). ENOMEM when there is
// none.
[[nodiscard]] Result<void*> heap_allocate(size_t bytes);
void heap_free(void* memory);  // null is allowed
[[nodiscard]] uint64_t heap_frames_in_use();

template <class T, class... Args>
[[nodiscard]] Result<T*> heap_new(Args&&... args) {
    void* const memory = TRY(heap_allocate(sizeof(T)));
    return new (memory) T(std::forward<Args>(args)...);
}
template <class T>
void heap_delete(T* object) {
    if (object == nullptr) return;
    object->~T();
    heap_free(object);
}

}  // namespace torii
