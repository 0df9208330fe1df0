#pragma once
// Named steps at which a test has the process die, by `kill -9` or by an exception.

#include <functional>
#include <string_view>

namespace torii::backend {

// Called with the name of each step as it is reached; may not return. Empty: none. On a device's thread.
using FailPointHook = std::function<void(std::string_view)>;

inline void reach(const FailPointHook& hook, std::string_view step) {
    if (hook) hook(step);
}

}  // namespace torii::backend
