#pragma once
// An interface whose frames go to a tap interface of the host, in a bridge of the host. The tap is made with
// the port and goes with it; it takes and gives checksums and segments as the guest does, so that a large
// frame crosses both whole.

#include <linux/virtio_net.h>

#include <memory>

#include "common/io_loop.h"
#include "net/port.h"
#include "net/waiter.h"

namespace torii::backend::net {

class TapPort final : public FramePort {
public:
    // Throws Failure: there is no such bridge, the name is taken, or this system has no tap devices.
    TapPort(IoLoop& loop, const BridgeAttachment& attachment, uint16_t mtu, PortUser& user);

    Takes takes() const override { return {true, true, true, true}; }
    bool ready() const override { return true; }
    bool send(FramePtr frame) override;
    bool link() const override { return true; }

private:
    void wait_readable();
    void readable();
    bool read_frame();

    PortUser& user_;
    std::shared_ptr<FileDescriptor> tap_;
    Waiter readable_;
};

// What stands before each frame of a tap device, and what it means for the frame. Exposed for tests.
virtio_net_hdr header_for_tap(const FrameInfo& info);
// False when the frame cannot be what the header says.
bool info_from_tap(const virtio_net_hdr& header, Frame& frame);

}  // namespace torii::backend::net
