// A pointer that is set once what it points to is ready, and read by anyone at any time.
#pragma once

#include <atomic>

namespace torii {

// Zeroed memory is a valid one that holds null.
template <class T>
class Published {
public:
    [[nodiscard]] T* get() const { return pointer_.load(std::memory_order_acquire); }
    operator T*() const { return get(); }  // NOLINT: it is the pointer
    T* operator->() const { return get(); }
    void publish(T& object) { pointer_.store(&object, std::memory_order_release); }

private:
    std::atomic<T*> pointer_{nullptr};
};

}  // namespace torii
