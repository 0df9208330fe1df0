// The one way in for hypercalls: what comes before every handler and after it.
#pragma once

#include <cstddef>

#include "core/call/context.h"
#include "hypercall_table.h"

namespace torii {

// Answers the hypercall in `registers`, which are the vCPU's own frame. The result is in rax on return; a
// call that stopped half-way has its registers set so that the guest's `syscall` runs again after pending
// work was served.
void dispatch(Vcpu& vcpu, pv::GuestRegisters& registers);

// The row for `number`, which must be below the table's size: cut to it, so that a mispredicted bounds check
// doesn't let the CPU read beyond the table with the guest's number.
[[nodiscard]] inline const HypercallRow& row_of(uint32_t number) {
    // The compiler knows that the number is in range and would leave the mask out: what passed through here
    // it doesn't know.
    asm("" : "+r"(number));
    return hypercall_table[number & (kCountedHypercalls - 1)];
}

// Bytes of the `syscall` instruction: how far a call that is issued again goes back.
inline constexpr uint64_t kSyscallBytes = 2;

}  // namespace torii
