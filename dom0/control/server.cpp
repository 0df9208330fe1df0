#include "control/server.h"

#include <grp.h>
#include <sys/stat.h>
#include <torii/failure.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "control/session.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& problem) {
    throw Failure(ErrorCode::kSystem,
                  fmt::format("cannot make the control socket {}: {}. Give another path with "
                              "--socket",
                              path.string(), problem));
}

}  // namespace

ControlServer::ControlServer(boost::asio::io_context& context, Dispatcher& dispatcher,
                             const std::filesystem::path& path, const std::string& group)
    : dispatcher_(dispatcher), path_(path), acceptor_(context) {
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    if (path.native().size() >= 108) fail(path, "the path is too long for a socket");
    std::filesystem::remove(path, error);  // of a daemon that was killed; a living one holds the lock file
    boost::system::error_code problem;
    acceptor_.open(boost::asio::local::stream_protocol(), problem);
    // Nobody may connect before the owner is set.
    const mode_t before = ::umask(0177);
    if (!problem) acceptor_.bind(boost::asio::local::stream_protocol::endpoint(path.string()), problem);
    ::umask(before);
    if (problem) fail(path, problem.message());
    const ::group* const owner = ::getgrnam(group.c_str());
    if (owner == nullptr) {
        log_warning("there is no group {}: only root can use {}", group, path.string());
    } else if (::chown(path.c_str(), static_cast<uid_t>(-1), owner->gr_gid) != 0 ||
               ::chmod(path.c_str(), 0660) != 0) {
        fail(path, std::strerror(errno));
    }
    acceptor_.listen(boost::asio::socket_base::max_listen_connections, problem);
    if (problem) fail(path, problem.message());
    accept_next();
}

ControlServer::ControlServer(boost::asio::io_context& context, Dispatcher& dispatcher,
                             FileDescriptor listening)
    : dispatcher_(dispatcher),
      acceptor_(context, boost::asio::local::stream_protocol(), listening.release()) {
    accept_next();
}

ControlServer::~ControlServer() {
    if (!path_.empty()) ::unlink(path_.c_str());
}

void ControlServer::accept_next() {
    acceptor_.async_accept(
        [this](const boost::system::error_code& error, boost::asio::local::stream_protocol::socket socket) {
            if (error == boost::asio::error::operation_aborted) return;
            if (error) {
                log_warning("a client could not connect: {}", error.message());
            } else {
                std::make_shared<Session>(std::move(socket), dispatcher_)->start();
            }
            accept_next();
        });
}

}  // namespace torii::dom0
