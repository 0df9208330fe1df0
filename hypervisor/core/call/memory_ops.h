// The parts of memory_op, one file each. Internal to core/call.
#pragma once

#include <torii/abi/memory.h>

#include "core/call/context.h"
#include "core/call/guest_ptr.h"
#include "core/memory/allocator.h"

namespace torii::call {

// rdi holds the operation in its low bits and, when the call is issued again, how far it came.
inline constexpr unsigned kMemoryOpBits = 6;

struct MemoryCall {
    CallContext& context;
    abi::MemoryOp op;
    uint64_t start;    // from the guest's register: any value
    uint64_t address;  // of the operation's structure

    // Ends this turn; the next one starts at `next`.
    [[nodiscard]] CallResult continue_at(uint64_t next) const {
        context.set_arg<0>(static_cast<uint64_t>(op) | (next << kMemoryOpBits));
        return Errno::kERESTART;
    }
};

// What a call may spend before it lets others run; the cost of a block of frames in the same unit.
inline constexpr uint32_t kMemoryBudget = 1000;
constexpr uint32_t cost_of_block(unsigned order) {
    return 1 + (uint32_t{1} << order) / 2;
}

// The largest block that the caller may ask for. What a domain gets in one piece it gets without a pause.
inline constexpr unsigned kLargestOrderOfGuest = 9;
inline constexpr unsigned kLargestOrderOfControlDomain = 12;
[[nodiscard]] inline unsigned largest_order(const Domain& caller) {
    return caller.privileged ? kLargestOrderOfControlDomain : kLargestOrderOfGuest;
}

// The allocator's wish behind a reservation's mem_flags. EINVAL for an address width without any page in it.
[[nodiscard]] Result<AllocationWish> wish_of(uint32_t mem_flags);

CallResult change_reservation(const MemoryCall& call);
CallResult exchange(const MemoryCall& call);
CallResult memory_map(const MemoryCall& call);
CallResult machine_memory_map(const MemoryCall& call);
CallResult set_memory_map(const MemoryCall& call);
CallResult machphys_mfn_list(const MemoryCall& call);
CallResult acquire_resource(const MemoryCall& call);

}  // namespace torii::call
