// torii-nat: the network of one guest's interface behind the host's own addresses. A program of its own, so
// that connections survive toriid, and that a guest who finds a hole in a TCP stack finds itself in a process
// that has nothing.

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <torii/failure.h>
#include <unistd.h>

#include <cerrno>
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "net/nat/confine.h"
#include "net/nat/nat_server.h"

namespace {

using namespace torii;
using namespace torii::backend;

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
    throw Failure(ErrorCode::kSystem, "The NAT helper cannot listen at \"" + path + "\": " + what + ".");
}

FileDescriptor listen_at(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) refuse(path, "the name is too long for a socket");
    path.copy(address.sun_path, path.size());
    FileDescriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket.valid()) refuse(path, std::strerror(errno));
    const auto* const where = reinterpret_cast<const sockaddr*>(&address);
    // Of an earlier helper that ended; one that runs is not to be pushed aside.
    if (::connect(socket.get(), where, sizeof(address)) == 0) refuse(path, "another helper listens there");
    ::unlink(path.c_str());
    FileDescriptor fresh(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const mode_t before = ::umask(0177);
    const bool bound = fresh.valid() && ::bind(fresh.get(), where, sizeof(address)) == 0;
    ::umask(before);
    if (!bound || ::listen(fresh.get(), 4) != 0) refuse(path, std::strerror(errno));
    return fresh;
}

FileDescriptor listening_socket(const std::string& path) {
    if (!path.empty()) return listen_at(path);
    if (::sd_listen_fds(1) == 1) return FileDescriptor(SD_LISTEN_FDS_START);
    throw Failure(
        ErrorCode::kInvalidArgument,
        "The NAT helper needs a place to listen: name it with --socket, or start it by its systemd socket.");
}

}  // namespace

int main(int count, char** arguments) {
    CLI::App app("The network of one guest's interface behind the host's own addresses, for toriid.",
                 "torii-nat");
    std::string socket;
    std::string user = "nobody";
    app.add_option("--socket", socket, "Listen there (a Unix socket, made with access for its owner only)");
    app.add_option("--user", user, "Become that user when started as root")->capture_default_str();
    app.set_version_flag("--version", TORII_VERSION);
    CLI11_PARSE(app, count, arguments);
    try {
        // toriid's end may close at any time, and says so otherwise.
        std::signal(SIGPIPE, SIG_IGN);
        const uid_t owner = ::geteuid();
        FileDescriptor listening = listening_socket(socket);
        net::confine(user);
        return net::NatServer(std::move(listening), owner).run();
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "torii-nat: %s\n", failure.what());
        return 1;
    }
}
