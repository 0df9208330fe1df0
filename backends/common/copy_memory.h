#pragma once
// Memory that a thread's GuestMemory copies from and to with less work than other memory: the hypervisor
// knows it already. Whoever keeps buffers for copies takes them from here first.

#include <cstddef>
#include <span>

namespace torii::backend {

class CopyMemory {
public:
    virtual ~CopyMemory() = default;

    // Zeroed memory, at the beginning of a page; `bytes` is a multiple of the page's size. Never given back:
    // the caller keeps it for its next use. Empty when there is none left.
    virtual std::span<std::byte> take(size_t bytes) noexcept = 0;
};

// What the buffers of this thread are made from, from now on; null: ordinary memory. It must outlive them.
inline CopyMemory*& copy_memory_of_thread() {
    thread_local CopyMemory* memory = nullptr;
    return memory;
}

}  // namespace torii::backend
