#include "connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <torii/failure.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace torii::cli {
namespace {

[[noreturn]] void fail_to_connect(const std::string& path, int problem) {
    if (problem == EACCES || problem == EPERM) {
        throw Failure(ErrorCode::kAccessDenied,
                      "you may not use " + path +
                          ": run this as root (sudo), or have yourself added to the socket's "
                          "group (usually torii)");
    }
    if (problem == ENOENT || problem == ECONNREFUSED) {
        throw Failure(
            ErrorCode::kNoConnection,
            "no daemon answers on " + path + ": start toriid in dom0, or name its socket with --socket");
    }
    throw Failure(ErrorCode::kNoConnection,
                  "cannot reach the daemon on " + path + ": " + std::strerror(problem));
}

[[noreturn]] void fail_lost() {
    throw Failure(
        ErrorCode::kRpc,
        "the daemon has ended the connection (was it restarted?): `torii list` tells how things stand");
}

}  // namespace

Connection::Connection(const std::string& socket_path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_path.empty() || socket_path.size() >= sizeof(address.sun_path)) {
        throw Failure(ErrorCode::kInvalidArgument, "\"" + socket_path + "\" cannot be a socket's path");
    }
    socket_path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        const int problem = errno;
        ::close(socket_);
        fail_to_connect(socket_path, problem);
    }
}

Connection::~Connection() {
    ::close(socket_);
}

uint64_t Connection::send(v1::Request request) {
    const uint64_t id = next_id_++;
    send_with_id(std::move(request), id);
    return id;
}

void Connection::send_with_id(v1::Request request, uint64_t id) {
    request.set_id(id);
    const std::string frame = encode_frame(request.SerializeAsString());
    std::string_view rest = frame;
    while (!rest.empty()) {
        const ssize_t count = ::send(socket_, rest.data(), rest.size(), MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) fail_lost();
        rest.remove_prefix(static_cast<size_t>(count));
    }
}

std::optional<v1::Reply> Connection::receive(std::optional<std::chrono::milliseconds> timeout) {
    char buffer[16 * 1024];
    while (true) {
        if (const auto body = frames_.next()) {
            v1::Reply reply;
            if (!reply.ParseFromString(*body))
                throw Failure(ErrorCode::kRpc, "the daemon's answer is damaged");
            return reply;
        }
        if (timeout) {
            pollfd waiting{socket_, POLLIN, 0};
            if (::poll(&waiting, 1, static_cast<int>(timeout->count())) <= 0) return std::nullopt;
        }
        const ssize_t count = ::recv(socket_, buffer, sizeof(buffer), 0);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) fail_lost();
        frames_.append({buffer, static_cast<size_t>(count)});
    }
}

v1::Reply Connection::call(v1::Request request, const OnProgress& on_progress) {
    const uint64_t id = send(std::move(request));
    while (true) {
        v1::Reply reply = *receive();
        if (reply.id() != id) continue;
        if (reply.outcome_case() == v1::Reply::kProgress) {
            if (on_progress) on_progress(reply.progress());
            continue;
        }
        throw_failure(reply);
        return reply;
    }
}

void throw_failure(const v1::Reply& reply) {
    if (reply.outcome_case() != v1::Reply::kFailure) return;
    throw Failure(static_cast<ErrorCode>(reply.failure().code()), reply.failure().sentence());
}

}  // namespace torii::cli
