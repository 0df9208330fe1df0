#include "supervisor.h"

#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <torii/failure.h>

#include "log/log.h"

namespace torii::dom0 {

void tell_supervisor(const char* state) {
    ::sd_notify(0, state);
}

FileDescriptor inherited_socket(const std::filesystem::path& path) {
    const int count = ::sd_listen_fds(1);
    if (count <= 0) return {};
    FileDescriptor socket(SD_LISTEN_FDS_START);
    if (count == 1 && ::sd_is_socket_unix(socket.get(), SOCK_STREAM, 1, path.c_str(), 0) > 0) return socket;
    throw Failure(
        ErrorCode::kInvalidArgument,
        fmt::format("the supervisor handed over {} socket(s), of which none listens at {}: the unit's "
                    "ListenStream= and toriid's --socket must name one path",
                    count, path.string()));
}

}  // namespace torii::dom0
