#pragma once
// /dev/xen/evtchn (public sys/evtchn.h) on a UringLoop: waiting for events and taking masked ports back are
// operations of the loop, so that they cost no system call of their own.

#include <array>
#include <memory>
#include <unordered_map>

#include "common/event_channels.h"
#include "common/file_descriptor.h"
#include "common/io_loop.h"

namespace torii::backend {

class UringEventChannels final : public EventChannels {
public:
    // Throws Failure (kNoConnection).
    explicit UringEventChannels(IoLoop& loop);
    // Over an open device, which takes its calls by `control` (as ioctl(2), which returns -1 for a failure);
    // tests put a socket and a function there.
    using Control = std::function<int(unsigned long request, void* argument)>;
    UringEventChannels(IoLoop& loop, FileDescriptor device, Control control = {});

    // Begins to take events; on the loop's thread, once.
    void start();

    Port bind_interdomain(DomId remote, Port remote_port, Handler handler) override;
    Port bind_virq(abi::Virq virq, Handler handler) override;
    void unbind(Port local) noexcept override;
    void notify(Port local) noexcept override;

private:
    static constexpr size_t kBatch = 128;

    struct Reading final : Completion {
        explicit Reading(UringEventChannels& owner) : owner_(owner) {}
        void done(int32_t result) override { owner_.arrived(result); }

    private:
        UringEventChannels& owner_;
    };
    // Ports that may be signalled again. One is written at a time; others wait.
    struct Unmasking final : Completion {
        explicit Unmasking(UringEventChannels& owner) : owner_(owner) {}
        void done(int32_t result) override;
        bool running = false;

    private:
        UringEventChannels& owner_;
    };

    Port bound(int local, Handler handler);
    void read_next();
    void arrived(int32_t result);
    void unmask();

    IoLoop& loop_;
    FileDescriptor device_;
    Control control_;
    std::array<uint32_t, kBatch> ready_{};
    std::vector<uint32_t> unmasking_;
    std::vector<uint32_t> to_unmask_;
    bool read_directly_ = false;  // the loop only waits: this kernel reads the device in another thread
    Reading reading_{*this};
    Unmasking unmasked_{*this};
    std::unordered_map<uint32_t, Handler> handlers_;
};

}  // namespace torii::backend
