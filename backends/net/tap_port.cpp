#include "net/tap_port.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <torii/failure.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace torii::backend::net {

namespace {

constexpr size_t kTurnFrames = 64;
// Beyond it a frame keeps the buffer into which it was read.
constexpr size_t kCopiedFrame = 2000;

[[noreturn]] void refuse(const BridgeAttachment& attachment, const std::string& what,
                         const std::string& advice) {
    throw Failure(ErrorCode::kSystem, "The interface could not be attached to the bridge \"" +
                                          attachment.bridge + "\" as \"" + attachment.tap + "\": " + what +
                                          " (" + std::strerror(errno) + "). " + advice);
}

ifreq request_for(const std::string& name) {
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    return request;
}

FileDescriptor make_tap(const BridgeAttachment& attachment) {
    FileDescriptor tap(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!tap.valid())
        refuse(attachment, "/dev/net/tun cannot be opened", "Load the kernel module: modprobe tun.");
    ifreq request = request_for(attachment.tap);
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (::ioctl(tap.get(), TUNSETIFF, &request) != 0) {
        refuse(attachment, "there is an interface of that name, or none may be made",
               "Look at `ip link`, and see that toriid runs as root.");
    }
    const unsigned offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    if (::ioctl(tap.get(), TUNSETOFFLOAD, offloads) != 0)
        refuse(attachment, "the kernel's tap device offers no checksum offload", "A newer kernel is needed.");
    return tap;
}

void add_to_bridge(const BridgeAttachment& attachment, uint16_t mtu) {
    const FileDescriptor control(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!control.valid()) refuse(attachment, "no socket", "The host is out of resources.");
    ifreq interface = request_for(attachment.tap);
    interface.ifr_mtu = mtu;
    if (::ioctl(control.get(), SIOCSIFMTU, &interface) != 0)
        refuse(attachment, "the MTU " + std::to_string(mtu) + " was refused", "Choose a smaller one.");
    interface = request_for(attachment.tap);
    if (::ioctl(control.get(), SIOCGIFINDEX, &interface) != 0)
        refuse(attachment, "the tap interface is not there", "Look at the kernel's log.");
    ifreq bridge = request_for(attachment.bridge);
    bridge.ifr_ifindex = interface.ifr_ifindex;
    if (::ioctl(control.get(), SIOCBRADDIF, &bridge) != 0) {
        refuse(attachment, "there is no such bridge, or it took no other interface",
               "Look at `ip link show type bridge`; make one with `ip link add " + attachment.bridge +
                   " type bridge`.");
    }
    interface = request_for(attachment.tap);
    if (::ioctl(control.get(), SIOCGIFFLAGS, &interface) != 0)
        refuse(attachment, "the tap interface is not there", "Look at the kernel's log.");
    interface.ifr_flags |= IFF_UP;
    if (::ioctl(control.get(), SIOCSIFFLAGS, &interface) != 0)
        refuse(attachment, "the tap interface could not be set up", "Look at the kernel's log.");
}

}  // namespace

TapHeader header_for_tap(const FrameInfo& info) {
    TapHeader header{};
    if (info.checksum == Checksum::kPartial) {
        header.flags = TapHeader::kNeedsChecksum;
        header.checksum_start = info.checksum_start;
        header.checksum_offset = info.checksum_offset;
    }
    if (info.gso != Gso::kNone) {
        header.gso_type = info.gso == Gso::kTcpV6 ? TapHeader::kTcpV6 : TapHeader::kTcpV4;
        header.gso_size = info.gso_size;
        header.header_length = info.header_length;
    }
    return header;
}

bool info_from_tap(const TapHeader& header, Frame& frame) {
    FrameInfo& info = frame.info;
    if ((header.flags & TapHeader::kNeedsChecksum) != 0) {
        info.checksum = Checksum::kPartial;
        info.checksum_start = header.checksum_start;
        info.checksum_offset = header.checksum_offset;
    } else if ((header.flags & TapHeader::kDataValid) != 0) {
        info.checksum = Checksum::kVerified;
    }
    const uint8_t type = header.gso_type & static_cast<uint8_t>(~TapHeader::kEcn);
    if (type == TapHeader::kTcpV4) info.gso = Gso::kTcpV4;
    if (type == TapHeader::kTcpV6) info.gso = Gso::kTcpV6;
    info.gso_size = info.gso == Gso::kNone ? uint16_t{0} : header.gso_size;
    if (type != TapHeader::kNoSegments && info.gso == Gso::kNone) return false;
    return check_offsets(frame);
}

TapPort::TapPort(IoLoop& loop, const BridgeAttachment& attachment, uint16_t mtu, PortUser& user)
    : user_(user), name_(attachment.tap), readable_(loop) {
    if (attachment.tap.empty() || attachment.tap.size() >= IFNAMSIZ || attachment.bridge.size() >= IFNAMSIZ) {
        errno = ENAMETOOLONG;
        refuse(attachment, "a name is empty or longer than 15 characters", "Choose a shorter one.");
    }
    tap_ = std::make_shared<FileDescriptor>(make_tap(attachment));
    add_to_bridge(attachment, mtu);
    wait_readable();
}

bool TapPort::send(FramePtr frame) {
    const TapHeader header = header_for_tap(frame->info);
    const std::span<uint8_t> whole = frame->with_room(sizeof(header));
    std::memcpy(whole.data(), &header, sizeof(header));
    // Never waits: the interface's own queue drops.
    return ::write(tap_->get(), whole.data(), whole.size()) >= 0;
}

void TapPort::wait_readable() {
    readable_.poll(tap_, POLLIN, [this](int32_t) { readable(); });
}

void TapPort::readable() {
    // A frame often comes alone, and to ask the tap for another costs as much as to take one. To be told that
    // there are more costs less, and then more are taken at a time, as many as there were the last time.
    size_t count = 0;
    while (count < at_a_time_ && read_frame())
        ++count;
    at_a_time_ = count == at_a_time_ ? std::min(2 * count, kTurnFrames) : std::max<size_t>(count, 1);
    user_.burst_ended();
    if (!gone_) wait_readable();
}

// Without this the file would be ready for ever, with nothing to read.
void TapPort::lose() {
    gone_ = true;
    user_.trouble("The interface \"" + name_ + "\" of a guest was removed from the host (" +
                  std::strerror(errno) +
                  "). The guest's link is down until its network device is attached again.");
    user_.link_changed(false);
}

bool TapPort::read_frame() {
    // Read into what holds any; a short frame gets a buffer of its own once its length is known.
    if (!next_) next_ = Frame::make(kMaxFrame);
    TapHeader header{};
    const std::span<uint8_t> whole = next_->with_room(sizeof(header));
    const ssize_t count = ::read(tap_->get(), whole.data(), whole.size());
    if (count < 0 && errno != EAGAIN && errno != EINTR) lose();
    if (count < static_cast<ssize_t>(sizeof(header) + kEthernetHeader)) return count >= 0;
    std::memcpy(&header, whole.data(), sizeof(header));
    const size_t length = static_cast<size_t>(count) - sizeof(header);
    FramePtr frame;
    if (length > kCopiedFrame) {
        frame = std::move(next_);
        frame->shorten(length);
    } else {
        frame = Frame::copy_of({next_->data(), length});
    }
    if (info_from_tap(header, *frame)) user_.receive(std::move(frame));
    return true;
}

}  // namespace torii::backend::net
