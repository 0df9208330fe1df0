// Access to memory that a guest can change at any instant: each call is exactly one access.
#pragma once

#include <concepts>
#include <type_traits>

namespace torii {

template <class T>
requires(std::is_trivially_copyable_v<T> && sizeof(T) <= 8) [[nodiscard]] inline T read_once(const T& place) {
    T value;
    __atomic_load(&place, &value, __ATOMIC_RELAXED);
    return value;
}

template <class T>
requires(std::is_trivially_copyable_v<T> &&
         sizeof(T) <= 8) inline void write_once(T& place, std::type_identity_t<T> value) {
    __atomic_store(&place, &value, __ATOMIC_RELAXED);
}

}  // namespace torii
