#pragma once
// /dev/xen/privcmd and /dev/xen/hypercall (public sys/privcmd.h).

#include <mutex>
#include <vector>

#include "xen/file_descriptor.h"
#include "xen/privileged_calls.h"

namespace torii::dom0 {

// Safe to use from several threads. A forked child may go on using its copy: the buffers are shared memory of
// the kernel, so only one of both may use them at a time; call `reopen_buffers` in the child first.
class Privcmd final : public PrivilegedCalls {
public:
    // Throws Failure (kNoConnection) when this is not a control domain or its modules are missing.
    Privcmd();
    ~Privcmd() override;
    Privcmd(const Privcmd&) = delete;
    Privcmd& operator=(const Privcmd&) = delete;

    int64_t call(abi::Hypercall number, const std::array<uint64_t, 5>& arguments) override;
    OwnedMemory call_buffer(size_t bytes) override;
    ForeignMapping map_frames(DomId owner, std::span<const uint64_t> mfns) override;
    ForeignMapping map_resource(DomId owner, abi::ResourceType type, uint32_t id, uint32_t first,
                                uint32_t count) override;

    int descriptor() const { return privcmd_.get(); }
    int buffer_descriptor() const { return hypercall_.get(); }

    // Gives this process buffers of its own.
    void reopen_buffers();

private:
    void map_buffers();
    void release_buffer(std::span<std::byte> bytes);

    FileDescriptor privcmd_;
    FileDescriptor hypercall_;
    std::mutex mutex_;
    std::span<std::byte> arena_;
    std::vector<bool> page_taken_;
};

}  // namespace torii::dom0
