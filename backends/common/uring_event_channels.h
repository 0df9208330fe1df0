#pragma once
// /dev/xen/evtchn (public sys/evtchn.h) on a UringLoop: waiting for events and taking masked ports back are
// operations of the loop, so that they cost no system call of their own.

#include <array>
#include <vector>

#include "common/event_channel_file.h"
#include "common/io_loop.h"

namespace torii::backend {

class UringEventChannels final : public EventChannelFile {
public:
    // Throws Failure (kNoConnection).
    explicit UringEventChannels(IoLoop& loop);
    // For tests: over a socket, and a function that takes its calls.
    UringEventChannels(IoLoop& loop, FileDescriptor device, Control control = {});

    // Begins to take events; on the loop's thread, once.
    void start();

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

    void read_next();
    void arrived(int32_t result);
    void unmask();

    IoLoop& loop_;
    std::array<uint32_t, kBatch> ready_{};
    std::vector<uint32_t> unmasking_;
    std::vector<uint32_t> to_unmask_;
    bool read_directly_ = false;  // the loop only waits: this kernel reads the device in another thread
    Reading reading_{*this};
    Unmasking unmasked_{*this};
};

}  // namespace torii::backend
