#include "block/nbd_library.h"

#include <dlfcn.h>
#include <torii/failure.h>

#include <string>

namespace torii::backend {
namespace {

[[noreturn]] void refuse() {
    const char* const found = ::dlerror();
    throw Failure(ErrorCode::kSystem,
                  std::string("images behind NBD servers need libnbd, which cannot be used (") +
                      (found != nullptr ? found : "no reason is given") +
                      "). Install it: apt-get install libnbd0");
}

template <typename Function>
void find(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(::dlsym(library, name));
    if (function == nullptr) refuse();
}

}  // namespace

NbdLibrary NbdLibrary::load(const char* file) {
    // Stays until the process ends.
    void* const handle = ::dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) refuse();
    NbdLibrary library{};
    find(handle, "nbd_create", library.create);
    find(handle, "nbd_close", library.close);
    find(handle, "nbd_get_error", library.get_error);
    find(handle, "nbd_get_errno", library.get_errno);
    find(handle, "nbd_get_size", library.get_size);
    find(handle, "nbd_get_block_size", library.get_block_size);
    find(handle, "nbd_is_read_only", library.is_read_only);
    find(handle, "nbd_can_trim", library.can_trim);
    find(handle, "nbd_can_flush", library.can_flush);
    find(handle, "nbd_aio_connect_uri", library.aio_connect_uri);
    find(handle, "nbd_aio_is_ready", library.aio_is_ready);
    find(handle, "nbd_aio_is_dead", library.aio_is_dead);
    find(handle, "nbd_aio_is_closed", library.aio_is_closed);
    find(handle, "nbd_aio_get_fd", library.aio_get_fd);
    find(handle, "nbd_aio_get_direction", library.aio_get_direction);
    find(handle, "nbd_aio_notify_read", library.aio_notify_read);
    find(handle, "nbd_aio_notify_write", library.aio_notify_write);
    find(handle, "nbd_aio_pread", library.aio_pread);
    find(handle, "nbd_aio_pwrite", library.aio_pwrite);
    find(handle, "nbd_aio_flush", library.aio_flush);
    find(handle, "nbd_aio_trim", library.aio_trim);
    return library;
}

const NbdLibrary& NbdLibrary::get() {
    static const NbdLibrary library = load("libnbd.so.0");
    return library;
}

}  // namespace torii::backend
