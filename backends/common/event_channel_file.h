#pragma once
// /dev/xen/evtchn (public sys/evtchn.h), opened once for each event loop. How a loop waits for it is the
// loop's matter: uring_event_channels.h on a thread that serves devices, dom0/xen/event_channel_device.h in
// the daemon.

#include <exception>
#include <functional>
#include <span>
#include <unordered_map>

#include "common/event_channels.h"
#include "common/file_descriptor.h"

namespace torii::backend {

class EventChannelFile : public EventChannels {
public:
    // Takes the device's calls as ioctl(2) does: -1 for a failure.
    using Control = std::function<int(unsigned long request, void* argument)>;

    Port bind_interdomain(DomId remote, Port remote_port, Handler handler) override;
    Port bind_virq(abi::Virq virq, Handler handler) override;
    void unbind(Port local) noexcept override;
    void notify(Port local) noexcept override;

protected:
    // Throws Failure (kNoConnection).
    EventChannelFile();
    // Over an open device; without `control` its calls are its own.
    EventChannelFile(FileDescriptor device, Control control);

    int file() const { return device_.get(); }
    // Calls the handlers of ports that were signalled: all of them, whatever one throws; `problem` is what
    // the last one threw. Returns those that are ours, moved to the front: the loop lets them be signalled
    // again.
    std::span<const uint32_t> call_handlers(std::span<uint32_t> ports, std::exception_ptr& problem);

private:
    Port bound(int local, Handler handler);

    FileDescriptor device_;
    Control control_;
    std::unordered_map<uint32_t, Handler> handlers_;
};

}  // namespace torii::backend
