#pragma once
// What a thread that serves devices has to offer them. Everything here but IoLoop::post() belongs to that
// thread. It outlives its devices' parts on it (a shared pointer keeps it for them).

#include <functional>
#include <memory>
#include <vector>

#include "common/event_channels.h"
#include "common/guest_memory.h"
#include "common/io_loop.h"

namespace torii::backend {

class DeviceThread {
public:
    virtual ~DeviceThread() = default;

    virtual IoLoop& loop() = 0;
    virtual EventChannels& event_channels() = 0;
    // Throws Failure.
    virtual std::unique_ptr<GuestMemory> open_memory(DomId guest) = 0;

    // A device's part on this thread outlives its owner until what it waits for has ended: it is kept here.
    void keep(std::shared_ptr<void> part) { parts_.push_back(std::move(part)); }
    void release(const void* part) {
        std::erase_if(parts_, [part](const auto& kept) { return kept.get() == part; });
    }

protected:
    // All at once, with nothing ended: for tests that kill the thread.
    void forget_parts() { parts_.clear(); }

private:
    std::vector<std::shared_ptr<void>> parts_;
};

}  // namespace torii::backend
