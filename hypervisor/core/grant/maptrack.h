// Grant handles: what a domain has mapped of others.
//
// A handle is reserved, filled in and committed by the map that made it; from then on whoever wants to change
// or end it claims it first. A claim is exclusive, so two unmaps of one handle can't both succeed. Only
// reserving and releasing take the lock; claims are one compare-exchange.
#pragma once

#include <torii/abi/grant_table.h>

#include <atomic>

#include "base/frame.h"
#include "base/ids.h"
#include "base/lock.h"
#include "base/result.h"

namespace torii {

// What one handle stands for. Fields are stable while the handle is committed or claimed.
struct GrantMapping {
    // Parts that exist, and how they were made.
    static constexpr uint16_t kHost = 1u << 0;    // `entry` maps the frame, with references of its own
    static constexpr uint16_t kDevice = 1u << 1;  // the machine address was handed out
    static constexpr uint16_t kReadonly = 1u << 2;
    static constexpr uint16_t kContainsPte = 1u << 3;  // the guest named the L1 entry, not a linear address
    static constexpr uint16_t kParts = kHost | kDevice;
    static constexpr uint16_t kAll = kParts | kReadonly | kContainsPte;

    std::atomic<uint16_t> state{0};
    DomId granter{};
    GrantRef ref{};       // on a free handle: the next free one
    MachineAddr entry{};  // with kHost: where the L1 entry lies
};
static_assert(sizeof(GrantMapping) == 16);

inline constexpr uint32_t kMappingsPerFrame = kPageSize / sizeof(GrantMapping);

class Maptrack {
public:
    Maptrack() = default;
    Maptrack(const Maptrack&) = delete;
    ~Maptrack();

    // Before use. Memory for handles is taken as they come to be used, `frame_limit` pages at most.
    [[nodiscard]] Result<> create(uint32_t frame_limit);

    // A handle of the caller's own until it is committed or released. ENOSPC at the limit, ENOMEM.
    [[nodiscard]] Result<GrantHandle> reserve();
    // The fields of a handle that the caller has reserved or claimed.
    [[nodiscard]] GrantMapping& at(GrantHandle handle) const;
    // Makes a reserved or claimed handle available to claims; `state` has at least one part.
    static void commit(GrantMapping& mapping, uint16_t state) {
        ASSERT((state & GrantMapping::kParts) != 0);
        mapping.state.store(state, std::memory_order_release);
    }
    // Exclusive use of a committed handle; null when there is no such handle, or someone else has it.
    [[nodiscard]] GrantMapping* claim(GrantHandle handle);
    // Ends a reserved or claimed handle.
    void release(GrantHandle handle);

    // Handles from 0 up to here have been used at least once.
    [[nodiscard]] uint32_t used_so_far() const { return used_.load(std::memory_order_acquire); }
    [[nodiscard]] uint32_t in_use() const { return in_use_; }

private:
    static constexpr uint16_t kClaimed = 1u << 15;
    static constexpr uint32_t kNone = ~uint32_t{0};

    Spinlock lock_{LockRank::kMaptrack};
    uint32_t frame_limit_ = 0;
    GrantMapping** frames_ = nullptr;  // frame_limit_ places, filled from the front
    std::atomic<uint32_t> used_{0};
    uint32_t first_free_ = kNone;
    uint32_t in_use_ = 0;
};

}  // namespace torii
