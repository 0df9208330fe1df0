#include "net/nat/nat_server.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>

namespace torii::backend::net {

namespace {

// Frames for a guest that does not take them; beyond that they are lost, as on any wire.
constexpr size_t kMostPending = 1024;
constexpr size_t kTurnMessages = 64;
constexpr size_t kBurst = 32;
constexpr int kSocketBuffer = 4 << 20;
constexpr std::chrono::seconds kWaitForSettings{60};

}  // namespace

NatServer::NatServer(FileDescriptor listening, uid_t owner)
    : listening_(std::move(listening)), owner_(owner), buffer_(kMostNatMessage) {}

int NatServer::run() {
    const auto started = std::chrono::steady_clock::now();
    std::vector<pollfd> files;
    while (!ended_) {
        const short wanted = static_cast<short>(POLLIN | (pending_.empty() ? 0 : POLLOUT));
        files.assign({{.fd = listening_.get(), .events = POLLIN, .revents = 0},
                      {.fd = connection_.get(), .events = wanted, .revents = 0}});
        int timeout = -1;
        if (network_ != nullptr) {
            network_->prepare_poll(files, timeout);
        } else {
            timeout = 1000;
            if (std::chrono::steady_clock::now() - started > kWaitForSettings) {
                std::fputs("nobody told this helper what network to make: it ends\n", stderr);
                return 1;
            }
        }
        const int ready = ::poll(files.data(), files.size(), timeout);
        if (ready < 0 && errno != EINTR) {
            std::perror("poll");
            return 1;
        }
        if (ready < 0) continue;
        if (network_ != nullptr) network_->dispatch(files, ready);
        if ((files[1].revents & ~POLLOUT) != 0) receive();
        send_pending();
        if (files[0].revents != 0) accept_connection();
    }
    return 0;
}

void NatServer::accept_connection() {
    FileDescriptor accepted(::accept4(listening_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!accepted.valid()) return;
    ucred peer{};
    socklen_t length = sizeof(peer);
    if (::getsockopt(accepted.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return;
    if (peer.uid != 0 && peer.uid != owner_) return;
    ::setsockopt(accepted.get(), SOL_SOCKET, SO_SNDBUF, &kSocketBuffer, sizeof(kSocketBuffer));
    disconnect();
    connection_ = std::move(accepted);
}

void NatServer::disconnect() {
    connection_.reset();
    pending_.clear();
}

void NatServer::receive() {
    for (size_t count = 0; count < kTurnMessages && connection_.valid() && !ended_; ++count) {
        const ssize_t size = ::recv(connection_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
        // The daemon is gone; the guest's connections wait for its successor.
        if (size <= 0) return disconnect();
        take_message({buffer_.data(), static_cast<size_t>(size)});
    }
}

void NatServer::take_message(std::span<const uint8_t> message) {
    if (message.size() < sizeof(NatHeader)) return;
    NatHeader header;
    std::memcpy(&header, message.data(), sizeof(header));
    switch (header.type) {
        case NatMessage::kHello: {
            const NatHello hello{.version = kNatVersion, .configured = network_ != nullptr ? 1u : 0u};
            const auto* const bytes = reinterpret_cast<const uint8_t*>(&hello);
            return answer(NatMessage::kHello, header.sequence, {bytes, sizeof(hello)});
        }
        case NatMessage::kConfigure:
            if (const auto settings = nat_body<NatSettings>(message); settings && network_ == nullptr) {
                network_ = std::make_unique<SlirpNetwork>(
                    *settings, [this](std::span<const uint8_t> frame) { frame_for_guest(frame); });
            }
            return;
        case NatMessage::kFrame:
            // What is no whole Ethernet frame is none for libslirp either.
            if (network_ != nullptr && message.size() >= sizeof(header) + 14)
                network_->from_guest(message.subspan(sizeof(header)));
            return;
        case NatMessage::kAddForward:
        case NatMessage::kRemoveForward:
            if (const auto wire = nat_body<NatForward>(message))
                change_forward(header.type, header.sequence, *wire);
            return;
        case NatMessage::kEnd:
            ended_ = true;
            return;
        default:
            return;
    }
}

void NatServer::change_forward(NatMessage type, uint32_t sequence, const NatForward& wire) {
    std::string error = "The network of this helper is not set up yet.";
    if (network_ != nullptr) {
        error = type == NatMessage::kAddForward ? network_->add_forward(wire.forward())
                                                : network_->remove_forward(wire.forward());
    }
    if (!error.empty()) std::fprintf(stderr, "%s\n", error.c_str());
    error.resize(std::min(error.size(), kMostForwardError));
    answer(NatMessage::kForwardDone, sequence,
           {reinterpret_cast<const uint8_t*>(error.data()), error.size()});
}

void NatServer::answer(NatMessage type, uint32_t sequence, std::span<const uint8_t> body) {
    std::vector<uint8_t> message(sizeof(NatHeader) + body.size());
    const NatHeader header{.type = type, .reserved = 0, .sequence = sequence};
    std::memcpy(message.data(), &header, sizeof(header));
    if (!body.empty()) std::memcpy(message.data() + sizeof(header), body.data(), body.size());
    pending_.push_back(std::move(message));
}

void NatServer::frame_for_guest(std::span<const uint8_t> frame) {
    if (connection_.valid() && pending_.size() < kMostPending) answer(NatMessage::kFrame, 0, frame);
}

void NatServer::send_pending() {
    while (!pending_.empty() && connection_.valid()) {
        std::array<mmsghdr, kBurst> messages{};
        std::array<iovec, kBurst> parts;
        const size_t count = std::min(kBurst, pending_.size());
        for (size_t index = 0; index < count; ++index) {
            parts[index] = {pending_[index].data(), pending_[index].size()};
            messages[index].msg_hdr.msg_iov = &parts[index];
            messages[index].msg_hdr.msg_iovlen = 1;
        }
        const int sent = ::sendmmsg(connection_.get(), messages.data(), static_cast<unsigned>(count),
                                    MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) return disconnect();
        if (sent > 0) pending_.erase(pending_.begin(), pending_.begin() + sent);
        if (sent < static_cast<int>(count)) return;
    }
}

}  // namespace torii::backend::net
