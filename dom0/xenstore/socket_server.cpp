#include "xenstore/socket_server.h"

#include <sys/stat.h>

#include <chrono>
#include <cstring>
#include <system_error>

#include "xenstore/socket_session.h"

namespace torii::dom0::xenstore {
namespace {

// Far above what tools need, far below the usual limit of descriptors.
constexpr std::size_t kSessionsMax = 400;
constexpr std::chrono::milliseconds kAcceptPause{100};

}  // namespace

SocketServer::SocketServer(Engine& engine, const std::filesystem::path& directory)
    : engine_(engine), writable_(engine, false), read_only_(engine, true) {
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) {
        throw Failure(ErrorCode::kSystem, "The xenstore's socket directory " + directory.string() +
                                              " can't be made: " + error.message() + ".");
    }
    open(writable_, directory / "socket");
    open(read_only_, directory / "socket_ro");
}

SocketServer::~SocketServer() {
    for (const auto& session : sessions_)
        session->close();
}

void SocketServer::open(Listener& listener, const std::filesystem::path& path) {
    boost::system::error_code error;
    std::error_code ignored;
    // Another daemon cannot be behind it: it would hold the lock of the state directory.
    std::filesystem::remove(path, ignored);
    // Made closed to all but its owner from the start: whoever can open it has all rights in the store.
    const mode_t old_mask = ::umask(0177);
    try {
        listener.acceptor.open(Protocol());
        listener.acceptor.bind(Protocol::endpoint(path.string()), error);
        if (!error) listener.acceptor.listen(Protocol::acceptor::max_listen_connections, error);
    } catch (const std::exception&) {
        // A path that is too long for a socket's address.
        error = boost::system::errc::make_error_code(boost::system::errc::filename_too_long);
    }
    ::umask(old_mask);
    if (error) {
        throw Failure(ErrorCode::kSystem,
                      "The xenstore's socket " + path.string() + " can't be opened: " + error.message() +
                          ". Check that the directory exists, is writable, and has a short name.");
    }
    accept(listener);
}

void SocketServer::accept(Listener& listener) {
    listener.acceptor.async_accept(
        [this, &listener](const boost::system::error_code& error, Protocol::socket socket) {
            if (error == boost::asio::error::operation_aborted) return;
            // Out of descriptors or the like: the waiting client would be offered again at once, and again.
            if (error) return accept_later(listener);
            if (sessions_.size() < kSessionsMax) {
                const auto session =
                    std::make_shared<SocketSession>(engine_, *this, std::move(socket), listener.read_only);
                sessions_.insert(session);
                session->start();
            } else {
                engine_.refusals().refused(kDom0, [] {
                    return std::string("xenstore: too many socket clients; a new one was turned away");
                });
            }
            accept(listener);
        });
}

void SocketServer::accept_later(Listener& listener) {
    listener.pause.expires_after(kAcceptPause);
    listener.pause.async_wait([this, &listener](const boost::system::error_code& error) {
        if (!error) accept(listener);
    });
}

void SocketServer::forget(const std::shared_ptr<SocketSession>& session) {
    sessions_.erase(session);
}

}  // namespace torii::dom0::xenstore
