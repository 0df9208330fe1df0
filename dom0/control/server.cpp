#include "control/server.h"

#include <sys/stat.h>
#include <torii/failure.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>
#include <system_error>

#include "control/session.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

// Read here, not by getgrnam: the C library would load plugins for it, which a static program cannot.
std::optional<gid_t> find_group(const std::string& name) {
    std::ifstream groups("/etc/group");
    std::string line;
    while (std::getline(groups, line)) {
        if (!line.starts_with(name + ":")) continue;
        const size_t second = line.find(':', name.size() + 1);
        if (second == std::string::npos) continue;
        gid_t id = 0;
        const auto [end, error] = std::from_chars(line.data() + second + 1, line.data() + line.size(), id);
        if (error == std::errc()) return id;
    }
    return std::nullopt;
}

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
    const auto id = find_group(group);
    if (!id) {
        log_warning("there is no group {}: only root can use {}", group, path.string());
    } else if (::chown(path.c_str(), static_cast<uid_t>(-1), *id) != 0 || ::chmod(path.c_str(), 0660) != 0) {
        fail(path, std::strerror(errno));
    }
    acceptor_.listen(boost::asio::socket_base::max_listen_connections, problem);
    if (problem) fail(path, problem.message());
    accept_next();
}

ControlServer::~ControlServer() {
    ::unlink(path_.c_str());
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
