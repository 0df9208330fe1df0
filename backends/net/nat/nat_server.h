#pragma once
// The helper's end of nat_protocol.h: listens for toriid, one connection at a time, and moves frames between
// it and the network. Everything on one thread.

#include <deque>
#include <memory>
#include <vector>

#include "common/file_descriptor.h"
#include "net/nat/slirp_network.h"

namespace torii::backend::net {

class NatServer {
public:
    // `owner`: the user whose processes may connect, besides root.
    NatServer(FileDescriptor listening, uid_t owner);

    // Until it is told to end, or nobody has told it its settings for a minute. Returns the exit code.
    int run();

private:
    void accept_connection();
    void disconnect();
    void receive();
    void take_message(std::span<const uint8_t> message);
    void answer(NatMessage type, uint32_t sequence, std::span<const uint8_t> body);
    void change_forward(NatMessage type, uint32_t sequence, const NatForward& wire);
    void frame_for_guest(std::span<const uint8_t> frame);
    void send_pending();

    FileDescriptor listening_;
    const uid_t owner_;
    FileDescriptor connection_;
    std::unique_ptr<SlirpNetwork> network_;
    std::deque<std::vector<uint8_t>> pending_;  // messages that the socket has no room for yet
    std::vector<uint8_t> buffer_;
    bool ended_ = false;
};

}  // namespace torii::backend::net
