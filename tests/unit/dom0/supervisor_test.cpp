// Sockets that a supervisor hands over, as systemd does: open as descriptor 3 when the program starts.
#include "supervisor.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <torii/failure.h>

#include <cstdlib>
#include <functional>

#include "unit/dom0/kit/kernel_file.h"

namespace torii::dom0 {
namespace {

constexpr int kFirstHandedOver = 3;

FileDescriptor listen_at(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.string().copy(address.sun_path, sizeof(address.sun_path) - 1);
    FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(socket.get(), 5), 0);
    return socket;
}

// Runs `body` in a process that was given `count` sockets; its result is the process's exit code.
int in_process(const FileDescriptor& socket, int count, const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0) {
        for (int i = 0; i < count; i++)
            ::dup2(socket.get(), kFirstHandedOver + i);
        ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
        ::setenv("LISTEN_FDS", std::to_string(count).c_str(), 1);
        ::_exit(body());
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Supervisor, WithoutOneThereIsNoSocket) {
    ::unsetenv("LISTEN_FDS");
    EXPECT_FALSE(inherited_socket("/run/somewhere").valid());
    tell_supervisor("READY=1");
}

TEST(Supervisor, HandsOverTheSocketOnce) {
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "control.sock";
    const FileDescriptor socket = listen_at(path);
    EXPECT_EQ(in_process(socket, 1,
                         [&] {
                             const FileDescriptor inherited = inherited_socket(path);
                             if (inherited.get() != kFirstHandedOver) return 1;
                             // A builder that the daemon starts must not think that it was meant.
                             if (::getenv("LISTEN_FDS") != nullptr) return 2;
                             return inherited_socket(path).valid() ? 3 : 0;
                         }),
              0);
}

TEST(Supervisor, AnotherSocketIsAMistakeThatIsTold) {
    const test::TemporaryFolder folder;
    const FileDescriptor socket = listen_at(folder.path() / "other.sock");
    const auto refused = [&] {
        try {
            inherited_socket(folder.path() / "control.sock");
            return 1;
        } catch (const Failure& failure) {
            return std::string(failure.what()).find("ListenStream=") == std::string::npos ? 2 : 0;
        }
    };
    EXPECT_EQ(in_process(socket, 1, refused), 0);
    EXPECT_EQ(in_process(socket, 2, refused), 0);
}

}  // namespace
}  // namespace torii::dom0
