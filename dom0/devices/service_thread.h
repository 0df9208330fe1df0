#pragma once
// The thread that serves the rings of all devices: one loop of io_uring, with event channels and granted
// memory of its own.

#include <memory>
#include <thread>

#include "common/device_thread.h"
#include "common/uring_event_channels.h"
#include "common/uring_loop.h"
#include "xen/copy_pages.h"

namespace torii::dom0 {

class ServiceThread final : public backend::DeviceThread {
public:
    // Throws Failure when io_uring or /dev/xen/evtchn cannot be had.
    explicit ServiceThread(PrivilegedCalls& calls);
    // Must be destroyed by another thread; whoever holds a pointer to it on its own thread lets go of it by
    // stop().
    ~ServiceThread() override;

    // No completion and no event is delivered after this. From another thread.
    void stop();

    backend::IoLoop& loop() override { return loop_; }
    backend::EventChannels& event_channels() override { return channels_; }
    std::unique_ptr<backend::GuestMemory> open_memory(backend::DomId guest) override;

private:
    static void tell(const std::exception& problem);

    CopyPages pages_;
    backend::UringLoop loop_{&tell};
    backend::UringEventChannels channels_{loop_};
    std::thread thread_;
};

}  // namespace torii::dom0
