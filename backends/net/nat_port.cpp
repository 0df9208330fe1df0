#include "net/nat_port.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace torii::backend::net {

namespace {

using namespace std::chrono_literals;

// Frames that wait for a full socket: a burst may overrun it, then ready() is false.
constexpr size_t kMostPending = 512;
constexpr size_t kBurst = 32;  // messages in one system call
constexpr size_t kTurnBursts = 8;
constexpr auto kRetry = 100ms;
constexpr unsigned kAttemptsBeforeAsking = 50;  // after the first: every five seconds
constexpr unsigned kAttemptsBeforeDown = 20;
constexpr int kSocketBuffer = 4 << 20;

FileDescriptor connect_to(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) return {};
    path.copy(address.sun_path, path.size());
    FileDescriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket.valid()) return {};
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return {};
    // As much as the system allows: less only costs speed.
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &kSocketBuffer, sizeof(kSocketBuffer));
    return socket;
}

}  // namespace

NatPort::NatPort(IoLoop& loop, const NatAttachment& attachment, uint16_t mtu, PortUser& user,
                 std::function<void()> wanted)
    : attachment_(attachment),
      mtu_(mtu),
      user_(user),
      wanted_(std::move(wanted)),
      readable_(loop),
      writable_(loop),
      retry_(loop) {
    // Not from in here: the user is not complete yet.
    retry_.after(0ns, [this] { connect(); });
}

void NatPort::connect() {
    socket_ = std::make_shared<FileDescriptor>(connect_to(attachment_.socket_path));
    if (!socket_->valid()) return lose(false);
    wait_readable();
    send_control(nat_message(NatMessage::kHello, 0, NatHello{.version = kNatVersion, .configured = 0}));
    // A helper that does not answer is as good as none.
    retry_.after(5s, [this] { lose(false); });
}

void NatPort::lose(bool at_once) {
    const bool was_up = std::exchange(connected_, false);
    const bool given_up = attempts_ == kAttemptsBeforeDown;
    socket_.reset();
    readable_.stop();
    writable_.stop();
    pending_.clear();
    for (auto& [sequence, request] : std::exchange(requests_, {}))
        request.done("The NAT helper of this interface ended before it answered. Try again.");
    if (attempts_++ % kAttemptsBeforeAsking == 0) wanted_();
    retry_.after(at_once ? 0ns : kRetry, [this] { connect(); });
    // A helper that is just starting, or found again by a new daemon, is no cable pulled out.
    if (was_up || given_up) user_.link_changed(false);
    if (was_up) user_.port_ready();
}

void NatPort::wait_readable() {
    readable_.poll(socket_, POLLIN, [this](int32_t) { readable(); });
}

void NatPort::readable() {
    const std::shared_ptr<FileDescriptor> socket = socket_;
    for (size_t burst = 0; burst < kTurnBursts && socket_ == socket; ++burst)
        if (!receive_burst()) break;
    user_.burst_ended();
    if (socket_ == socket) wait_readable();
}

// True when there may be more.
bool NatPort::receive_burst() {
    // One for all of the thread's interfaces: a frame takes its own buffer once its length is known.
    thread_local std::vector<uint8_t> buffers(kBurst * kMostNatMessage);
    std::array<mmsghdr, kBurst> messages{};
    std::array<iovec, kBurst> parts;
    for (size_t index = 0; index < kBurst; ++index) {
        parts[index] = {buffers.data() + index * kMostNatMessage, kMostNatMessage};
        messages[index].msg_hdr.msg_iov = &parts[index];
        messages[index].msg_hdr.msg_iovlen = 1;
    }
    const int count = ::recvmmsg(socket_->get(), messages.data(), kBurst, MSG_DONTWAIT, nullptr);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    const std::shared_ptr<FileDescriptor> socket = socket_;
    for (int index = 0; index < count; ++index) {
        // An empty one is the end of the connection.
        if (messages[index].msg_len == 0) {
            lose(true);
            return false;
        }
        take_message(
            {buffers.data() + static_cast<size_t>(index) * kMostNatMessage, messages[index].msg_len});
        if (socket_ != socket) return false;
    }
    if (count <= 0) lose(true);
    return count == static_cast<int>(kBurst);
}

void NatPort::take_message(std::span<const uint8_t> message) {
    if (message.size() < sizeof(NatHeader)) return;
    NatHeader header;
    std::memcpy(&header, message.data(), sizeof(header));
    const std::span<const uint8_t> body = message.subspan(sizeof(header));
    switch (header.type) {
        case NatMessage::kHello:
            if (const auto hello = nat_body<NatHello>(message)) greet(*hello);
            return;
        case NatMessage::kFrame:
            if (connected_ && body.size() >= kEthernetHeader && body.size() <= kMaxFrame) {
                FramePtr frame = Frame::copy_of(body);
                // What libslirp makes never left this machine; it fills checksums in nevertheless.
                frame->info.checksum = Checksum::kVerified;
                user_.receive(std::move(frame));
            }
            return;
        case NatMessage::kForwardDone:
            forward_done(header.sequence, body);
            return;
        default:
            return;
    }
}

void NatPort::greet(const NatHello& hello) {
    if (connected_) return;
    if (hello.version != kNatVersion) {
        // One of another version of this program, from before an upgrade: its connections are lost.
        send_control(nat_message(NatMessage::kEnd, 0, uint32_t{0}));
        return lose(false);
    }
    retry_.stop();
    connected_ = true;
    attempts_ = 0;
    if (hello.configured == 0) {
        const NatSettings settings{.mtu = mtu_, .host_loopback = attachment_.host_loopback ? 1u : 0u};
        send_control(nat_message(NatMessage::kConfigure, 0, settings));
    }
    user_.link_changed(true);
    // The helper passes over those that it has. The interface works without one whose port is taken.
    for (const PortForward& forward : attachment_.forwards) {
        request_forward(forward, true, [this](const std::string& problem) {
            if (!problem.empty()) user_.trouble(problem);
        });
    }
    user_.port_ready();
}

bool NatPort::send_control(const std::vector<uint8_t>& message) {
    return ::send(socket_->get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL) ==
           static_cast<ssize_t>(message.size());
}

bool NatPort::send(FramePtr frame) {
    if (!connected_ || pending_.size() >= kMostPending) return false;
    pending_.push_back(std::move(frame));
    return true;
}

void NatPort::flush() {
    while (!pending_.empty() && !writable_.waiting()) {
        static constexpr NatHeader kFrameHeader{.type = NatMessage::kFrame, .reserved = 0, .sequence = 0};
        std::array<mmsghdr, kBurst> messages{};
        std::array<std::array<iovec, 2>, kBurst> parts;
        const size_t count = std::min(kBurst, pending_.size());
        for (size_t index = 0; index < count; ++index) {
            parts[index] = {iovec{const_cast<NatHeader*>(&kFrameHeader), sizeof(kFrameHeader)},
                            iovec{pending_[index]->data(), pending_[index]->size()}};
            messages[index].msg_hdr.msg_iov = parts[index].data();
            messages[index].msg_hdr.msg_iovlen = parts[index].size();
        }
        const int sent = ::sendmmsg(socket_->get(), messages.data(), static_cast<unsigned>(count),
                                    MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) pending_.erase(pending_.begin(), pending_.begin() + sent);
        // A connection that is over is found by reading.
        if (sent < 0 && errno != EAGAIN && errno != EINTR) return pending_.clear();
        if (sent < static_cast<int>(count)) return wait_writable();
    }
}

void NatPort::wait_writable() {
    writable_.poll(socket_, POLLOUT, [this](int32_t) {
        flush();
        if (ready()) user_.port_ready();
    });
}

void NatPort::change_forward(const PortForward& forward, bool add,
                             std::function<void(const std::string&)> done) {
    if (!connected_)
        return done("The NAT helper of this interface is not running yet. Try again in a moment.");
    request_forward(forward, add, std::move(done));
}

void NatPort::request_forward(const PortForward& forward, bool add,
                              std::function<void(const std::string&)> done) {
    const uint32_t sequence = next_sequence_++;
    const NatMessage type = add ? NatMessage::kAddForward : NatMessage::kRemoveForward;
    if (!send_control(nat_message(type, sequence, NatForward::of(forward))))
        return done("The NAT helper of this interface is busy. Try again in a moment.");
    requests_[sequence] = {forward, std::move(done)};
}

void NatPort::forward_done(uint32_t sequence, std::span<const uint8_t> text) {
    auto request = requests_.extract(sequence);
    if (request.empty()) return;
    request.mapped().done(
        std::string(reinterpret_cast<const char*>(text.data()), std::min(text.size(), kMostForwardError)));
}

void NatPort::end() {
    if (socket_ != nullptr && socket_->valid()) send_control(nat_message(NatMessage::kEnd, 0, uint32_t{0}));
    retry_.stop();
    readable_.stop();
    writable_.stop();
    connected_ = false;
    pending_.clear();
}

bool end_nat_helper(const std::string& socket_path) {
    const FileDescriptor socket = connect_to(socket_path);
    if (!socket.valid()) return false;
    const auto message = nat_message(NatMessage::kEnd, 0, uint32_t{0});
    return ::send(socket.get(), message.data(), message.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(message.size());
}

}  // namespace torii::backend::net
