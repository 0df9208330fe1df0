// Typed guest pointers. Direction is in the type; each copy is one fetch or store, checked for faults and
// wrap-around.
#pragma once

#include <torii/abi/basic_types.h>
#include <torii/abi/mmu.h>

#include <concepts>
#include <type_traits>

#include "base/result.h"
#include "port/guest_memory.h"

namespace torii {

// What may cross: plain data without hidden holes, so that a copy out can't leak.
template <class T>
concept GuestData = std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T>;

// Whether [address, address + bytes) avoids the hypervisor's area and does not wrap.
[[nodiscard]] inline bool guest_range_ok(uint64_t address, uint64_t bytes) {
    const uint64_t end = address + bytes;
    if (end < address) return false;
    return end <= abi::kHypervisorVirtStart || address >= abi::kHypervisorVirtEnd;
}

template <GuestData T>
class GuestArray {
public:
    explicit GuestArray(uint64_t address) : address_(address) {}
    explicit GuestArray(abi::GuestPtr64 pointer) : address_(pointer.address) {}

    [[nodiscard]] bool is_null() const { return address_ == 0; }
    [[nodiscard]] uint64_t address() const { return address_; }

    [[nodiscard]] Result<> read(uint64_t index, T& to) const { return read_many(index, &to, 1); }
    [[nodiscard]] Result<> write(uint64_t index, const T& from) const { return write_many(index, &from, 1); }

    [[nodiscard]] Result<> read_many(uint64_t index, T* to, uint64_t count) const {
        const uint64_t at = TRY(locate(index, count));
        if (!copy_from_guest(to, at, count * sizeof(T))) [[unlikely]]
            return Errno::kEFAULT;
        return {};
    }
    [[nodiscard]] Result<> write_many(uint64_t index, const T* from, uint64_t count) const {
        const uint64_t at = TRY(locate(index, count));
        if (!copy_to_guest(at, from, count * sizeof(T))) [[unlikely]]
            return Errno::kEFAULT;
        return {};
    }

private:
    [[nodiscard]] Result<uint64_t> locate(uint64_t index, uint64_t count) const {
        constexpr uint64_t kMost = (uint64_t{1} << 47) / sizeof(T);
        if (index > kMost || count > kMost) [[unlikely]]
            return Errno::kEFAULT;
        const uint64_t at = address_ + index * sizeof(T);
        if (at < address_ || !guest_range_ok(at, count * sizeof(T))) [[unlikely]]
            return Errno::kEFAULT;
        return at;
    }
    uint64_t address_;
};

// One object that the call reads.
template <GuestData T>
class GuestIn {
public:
    explicit GuestIn(uint64_t address) : array_(address) {}
    explicit GuestIn(abi::GuestPtr64 pointer) : array_(pointer) {}
    [[nodiscard]] Result<> copy_in(T& to) const { return array_.read(0, to); }

private:
    GuestArray<T> array_;
};

// One object that the call writes.
template <GuestData T>
class GuestOut {
public:
    explicit GuestOut(uint64_t address) : array_(address) {}
    explicit GuestOut(abi::GuestPtr64 pointer) : array_(pointer) {}
    [[nodiscard]] bool is_null() const { return array_.is_null(); }
    [[nodiscard]] Result<> copy_out(const T& from) const { return array_.write(0, from); }

private:
    GuestArray<T> array_;
};

// One object that the call reads and then writes back.
template <GuestData T>
class GuestInOut {
public:
    explicit GuestInOut(uint64_t address) : array_(address) {}
    explicit GuestInOut(abi::GuestPtr64 pointer) : array_(pointer) {}
    [[nodiscard]] Result<> copy_in(T& to) const { return array_.read(0, to); }
    [[nodiscard]] Result<> copy_out(const T& from) const { return array_.write(0, from); }

private:
    GuestArray<T> array_;
};

}  // namespace torii
