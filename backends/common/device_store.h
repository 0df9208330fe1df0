#pragma once
// The xenstore as a backend needs it: that of toriid, in the same process, as the privileged domain. dom0
// implements it over its own store; tests use the same, or one in memory. Used on the daemon's own loop only.
//
// What a frontend writes is hostile: any bytes, any length up to the store's limit, changing at any time.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/ids.h"

namespace torii::backend {

class DeviceStore {
public:
    virtual ~DeviceStore() = default;

    virtual std::optional<std::string> read(std::string_view path) = 0;
    virtual std::vector<std::string> directory(std::string_view path) = 0;
    // All writes become visible together. Absolute paths. Throws Failure when the store refuses.
    virtual void write(const std::vector<std::pair<std::string, std::string>>& values) = 0;
    virtual void remove(std::string_view path) = 0;

    // Ends the watch when destroyed.
    class Watch {
    public:
        virtual ~Watch() = default;
    };
    // `changed` is called from the loop, never from inside a call to the store; first soon after this call.
    virtual std::unique_ptr<Watch> watch(std::string_view path, std::function<void()> changed) = 0;
};

}  // namespace torii::backend
