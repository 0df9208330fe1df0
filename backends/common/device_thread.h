#pragma once
// What a thread that serves devices has to offer them. Everything here but IoLoop::post() belongs to that
// thread. It outlives its devices' parts on it (a shared pointer keeps it for them).

#include <functional>
#include <memory>

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
};

}  // namespace torii::backend
