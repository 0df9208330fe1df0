#pragma once
// What dom0's kernel lets a privileged program do with the hypervisor: any hypercall, and mappings of other
// domains' frames. /dev/xen/privcmd implements it (xen/privcmd.h); tests implement it over plain memory.

#include <torii/abi/hypercall_numbers.h>
#include <torii/abi/memory.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <type_traits>
#include <utility>

#include "xen/ids.h"

namespace torii::dom0 {

// Memory that is given back by whoever made it when the owner goes.
class OwnedMemory {
public:
    using Release = std::function<void(std::span<std::byte>)>;

    OwnedMemory() = default;
    OwnedMemory(std::span<std::byte> bytes, Release release) : bytes_(bytes), release_(std::move(release)) {}
    OwnedMemory(OwnedMemory&& other) noexcept
        : bytes_(std::exchange(other.bytes_, {})), release_(std::exchange(other.release_, nullptr)) {}
    OwnedMemory& operator=(OwnedMemory&& other) noexcept {
        if (this != &other) {
            reset();
            bytes_ = std::exchange(other.bytes_, {});
            release_ = std::exchange(other.release_, nullptr);
        }
        return *this;
    }
    ~OwnedMemory() { reset(); }

    void reset() {
        if (release_) release_(bytes_);
        release_ = nullptr;
        bytes_ = {};
    }
    // Leaves the memory to the end of the process.
    void abandon() {
        release_ = nullptr;
        bytes_ = {};
    }
    std::span<std::byte> bytes() const { return bytes_; }
    std::byte* data() const { return bytes_.data(); }
    bool empty() const { return bytes_.empty(); }

private:
    std::span<std::byte> bytes_;
    Release release_;
};

using ForeignMapping = OwnedMemory;

class PrivilegedCalls {
public:
    virtual ~PrivilegedCalls() = default;

    // The hypercall's result: negative values are negated abi::Errno numbers. Pointers among the arguments
    // must lead into call_buffer() memory, which stays resident.
    virtual int64_t call(abi::Hypercall number, const std::array<uint64_t, 5>& arguments) = 0;

    // Zeroed memory for hypercall arguments, page aligned. Throws Failure (kNoMemory) when none is left.
    virtual OwnedMemory call_buffer(size_t bytes) = 0;

    // Maps frames of `owner`, in the given order, writable. Throws Failure (kHypercall) if any frame is
    // refused.
    virtual ForeignMapping map_frames(DomId owner, std::span<const uint64_t> mfns) = 0;

    // Maps `count` frames of one of the domain's resources, from frame `first`. Throws Failure (kHypercall).
    virtual ForeignMapping map_resource(DomId owner, abi::ResourceType type, uint32_t id, uint32_t first,
                                        uint32_t count) = 0;
};

// A structure in hypercall memory, zeroed.
template <typename T>
class CallStruct {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    explicit CallStruct(PrivilegedCalls& calls) : memory_(calls.call_buffer(sizeof(T))) {}
    T* operator->() { return reinterpret_cast<T*>(memory_.data()); }
    T& operator*() { return *reinterpret_cast<T*>(memory_.data()); }
    uint64_t address() const { return reinterpret_cast<uint64_t>(memory_.data()); }

private:
    OwnedMemory memory_;
};

// An array in hypercall memory, zeroed.
template <typename T>
class CallArray {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    CallArray(PrivilegedCalls& calls, size_t count)
        : memory_(calls.call_buffer(count * sizeof(T))), count_(count) {}
    std::span<T> items() { return {reinterpret_cast<T*>(memory_.data()), count_}; }
    T& operator[](size_t index) { return items()[index]; }
    size_t size() const { return count_; }
    uint64_t address() const { return reinterpret_cast<uint64_t>(memory_.data()); }

private:
    OwnedMemory memory_;
    size_t count_;
};

}  // namespace torii::dom0
