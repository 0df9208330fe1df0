#include "xen/xenbus_backend.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <torii/abi/basic_types.h>
#include <torii/failure.h>

#include <cerrno>
#include <cstring>

#include "log/log.h"
#include "xen/file_descriptor.h"

namespace torii::dom0 {
namespace {

constexpr unsigned long kIoctlEventChannel = _IOC(_IOC_NONE, 'B', 0, 0);

[[noreturn]] void fail(const char* what) {
    throw Failure(
        ErrorCode::kNoXenstore,
        fmt::format("cannot {} through /dev/xen/xenbus_backend: {}. toriid must run as root in the initial "
                    "domain",
                    what, std::strerror(errno)));
}

}  // namespace

KernelStoreRing open_kernel_store_ring() {
    const FileDescriptor device(::open("/dev/xen/xenbus_backend", O_RDWR | O_CLOEXEC));
    if (!device.valid()) fail("reach dom0's kernel");
    const int port = ::ioctl(device.get(), kIoctlEventChannel);
    if (port <= 0) fail("learn the event channel of dom0's kernel");
    void* page = ::mmap(nullptr, abi::kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED, device.get(), 0);
    if (page == MAP_FAILED) fail("map the ring of dom0's kernel");
    return {OwnedMemory({static_cast<std::byte*>(page), abi::kPageSize},
                        [](std::span<std::byte> memory) { ::munmap(memory.data(), memory.size()); }),
            Port(static_cast<uint32_t>(port))};
}

}  // namespace torii::dom0
