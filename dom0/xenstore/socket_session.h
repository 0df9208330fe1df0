#pragma once
// One client of a Unix socket.

#include <array>
#include <boost/asio/local/stream_protocol.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "xenstore/engine.h"
#include "xenstore/wire.h"

namespace torii::dom0::xenstore {

class SocketServer;

class SocketSession : public std::enable_shared_from_this<SocketSession> {
public:
    using Socket = boost::asio::local::stream_protocol::socket;

    SocketSession(Engine& engine, SocketServer& server, Socket socket, bool read_only);

    void start();
    // Closes the socket and gives up all that the client had in the store. May be called twice.
    void close();

private:
    void read();
    // Serves what has been read as far as the client may be served now.
    void serve();
    // Whether the client must first read what it is owed, or the store waits for space.
    [[nodiscard]] bool must_wait() const;
    // There is output, or serving may go on.
    void flush();
    void write();
    void end(const std::string& reason);

    Engine& engine_;
    SocketServer* server_;
    Socket socket_;
    Connection* connection_;
    MessageAssembler input_;
    std::array<char, 4096> read_buffer_;
    std::string_view unserved_;  // part of read_buffer_
    std::string write_buffer_;
    bool reading_ = false;
    bool serving_ = false;
    bool writing_ = false;
};

}  // namespace torii::dom0::xenstore
