#pragma once
// An interface whose frames go to a tap interface of the host, in a bridge of the host. The tap is made with
// the port and goes with it; it takes and gives checksums and segments as the guest does, so that a large
// frame crosses both whole.

#include <memory>

#include "common/io_loop.h"
#include "net/port.h"
#include "net/waiter.h"

namespace torii::backend::net {

// What stands before each frame of a tap device: struct virtio_net_hdr (virtio 1.1, 5.1.6; the kernel's
// header of it is not C++).
struct TapHeader {
    static constexpr uint8_t kNeedsChecksum = 1;
    static constexpr uint8_t kDataValid = 2;
    static constexpr uint8_t kNoSegments = 0;
    static constexpr uint8_t kTcpV4 = 1;
    static constexpr uint8_t kTcpV6 = 4;
    static constexpr uint8_t kEcn = 0x80;

    uint8_t flags;
    uint8_t gso_type;
    uint16_t header_length;
    uint16_t gso_size;
    uint16_t checksum_start;
    uint16_t checksum_offset;
};
static_assert(sizeof(TapHeader) == 10);

TapHeader header_for_tap(const FrameInfo& info);
// False when the frame cannot be what the header says.
bool info_from_tap(const TapHeader& header, Frame& frame);

class TapPort final : public FramePort {
public:
    // Throws Failure: there is no such bridge, the name is taken, or this system has no tap devices.
    TapPort(IoLoop& loop, const BridgeAttachment& attachment, uint16_t mtu, PortUser& user);

    Takes takes() const override { return {true, true, true, true}; }
    bool ready() const override { return true; }
    bool send(FramePtr frame) override;
    bool link() const override { return !gone_; }

private:
    void wait_readable();
    void readable();
    bool read_frame();
    void lose();

    PortUser& user_;
    const std::string name_;
    bool gone_ = false;  // removed by somebody else
    std::shared_ptr<FileDescriptor> tap_;
    Waiter readable_;
    FramePtr next_;         // what the next frame is read into
    size_t at_a_time_ = 1;  // frames that one turn takes at most
};

}  // namespace torii::backend::net
