#include "state/atomic_file.h"

#include <fcntl.h>
#include <torii/failure.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "log/log.h"
#include "xen/file_descriptor.h"

namespace torii::dom0 {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path) {
    throw Failure(ErrorCode::kSystem,
                  fmt::format("cannot write {}: {}", path.string(), std::strerror(errno)));
}

}  // namespace

// Without fsync: the state describes one boot of the machine and a kill of the process loses nothing that was
// written.
void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
    const std::filesystem::path fresh(path.native() + ".new");
    const FileDescriptor file(
        ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.valid()) fail(fresh);
    while (!content.empty()) {
        const ssize_t count = ::write(file.get(), content.data(), content.size());
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) fail(fresh);
        content.remove_prefix(static_cast<size_t>(count));
    }
    if (::rename(fresh.c_str(), path.c_str()) != 0) fail(path);
}

}  // namespace torii::dom0
