#pragma once
// The Unix sockets that stock xenstore clients in the control domain use.

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <filesystem>
#include <memory>
#include <set>

#include "xenstore/engine.h"

namespace torii::dom0::xenstore {

class SocketSession;

class SocketServer {
public:
    // Makes "socket" and "socket_ro" in `directory`, in the place of what a killed daemon left. Throws
    // torii::Failure.
    SocketServer(Engine& engine, const std::filesystem::path& directory);
    ~SocketServer();
    SocketServer(const SocketServer&) = delete;
    SocketServer& operator=(const SocketServer&) = delete;

private:
    friend class SocketSession;
    using Protocol = boost::asio::local::stream_protocol;

    struct Listener {
        Listener(Engine& engine, bool only_reads)
            : acceptor(engine.io()), pause(engine.io()), read_only(only_reads) {}
        Protocol::acceptor acceptor;
        boost::asio::steady_timer pause;
        bool read_only;
    };

    void open(Listener& listener, const std::filesystem::path& path);
    void accept(Listener& listener);
    void accept_later(Listener& listener);
    void forget(const std::shared_ptr<SocketSession>& session);

    Engine& engine_;
    Listener writable_;
    Listener read_only_;
    std::set<std::shared_ptr<SocketSession>> sessions_;
};

}  // namespace torii::dom0::xenstore
