#pragma once
// The blocking client side of the control socket.

#include <torii/frame.h>
#include <torii/v1/control.pb.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace torii::cli {

class Connection {
public:
    // Throws Failure: kNoConnection when no daemon listens, kAccessDenied when the socket may not be used.
    explicit Connection(const std::string& socket_path);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    using OnProgress = std::function<void(const v1::Progress&)>;

    // Sends the request (its id is set here) and waits for its final reply. A failure arrives as Failure.
    v1::Reply call(v1::Request request, const OnProgress& on_progress = nullptr);

    // The pieces, for consoles: send a request, then take replies as they come.
    uint64_t send(v1::Request request);
    void send_with_id(v1::Request request, uint64_t id);
    // The next reply, or nothing after `timeout`. Throws Failure (kRpc) when the daemon has gone.
    std::optional<v1::Reply> receive(std::optional<std::chrono::milliseconds> timeout = std::nullopt);

    int descriptor() const { return socket_; }
    // Whether a whole reply is at hand without reading.
    bool has_buffered() const { return frames_.buffered() >= kFrameHeaderBytes; }

private:
    int socket_ = -1;
    FrameReader frames_;
    uint64_t next_id_ = 1;
};

// Throws the Failure that the reply carries, if it does.
void throw_failure(const v1::Reply& reply);

}  // namespace torii::cli
