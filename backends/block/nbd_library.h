#pragma once
// libnbd, loaded with the first NBD image. With it come TLS, XML and Unicode, some twenty libraries, which
// every process of the daemon would have to link at its start, and most have no use for.

#include <libnbd.h>

namespace torii::backend {

struct NbdLibrary {
    // The one that programs are linked with, loaded once. Throws Failure (kSystem): this machine has none.
    static const NbdLibrary& get();
    static NbdLibrary load(const char* file);

    // As libnbd(3) says, by their names without "nbd_".
    decltype(&nbd_create) create;
    decltype(&nbd_close) close;
    decltype(&nbd_get_error) get_error;
    decltype(&nbd_get_errno) get_errno;
    decltype(&nbd_get_size) get_size;
    decltype(&nbd_get_block_size) get_block_size;
    decltype(&nbd_is_read_only) is_read_only;
    decltype(&nbd_can_trim) can_trim;
    decltype(&nbd_can_flush) can_flush;
    decltype(&nbd_aio_connect_uri) aio_connect_uri;
    decltype(&nbd_aio_is_ready) aio_is_ready;
    decltype(&nbd_aio_is_dead) aio_is_dead;
    decltype(&nbd_aio_is_closed) aio_is_closed;
    decltype(&nbd_aio_get_fd) aio_get_fd;
    decltype(&nbd_aio_get_direction) aio_get_direction;
    decltype(&nbd_aio_notify_read) aio_notify_read;
    decltype(&nbd_aio_notify_write) aio_notify_write;
    decltype(&nbd_aio_pread) aio_pread;
    decltype(&nbd_aio_pwrite) aio_pwrite;
    decltype(&nbd_aio_flush) aio_flush;
    decltype(&nbd_aio_trim) aio_trim;
};

}  // namespace torii::backend
