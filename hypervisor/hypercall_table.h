// The hypercall table: what each number means, who may call it, and who answers.
#pragma once

#include <array>
#include <cstdint>

#include "core/call/context.h"
#include "core/call/counters.h"

namespace torii {

using HypercallHandler = CallResult (*)(CallContext&);

// What sets a call apart from the others; most have nothing of it, so that one test lets them pass.
enum CallKind : uint8_t {
    kOrdinary = 0,
    kPrivileged = 1,  // for the control domain; anyone else reads -EPERM
    kWholeFrame = 2,  // works on the caller's registers: nothing is done to them afterwards, and it has no
                      // meaning in a multicall
    kBatch = 4,       // multicall itself, which does not nest
};

struct alignas(32) HypercallRow {
    HypercallHandler handler = nullptr;  // never null in the finished table
    const char* name = "unassigned";
    uint8_t arguments = 0;
    uint8_t kind = kOrdinary;  // bits of CallKind
};

// Indexed by hypercall number. A power of two, so that an index can be cut to it without a branch.
using HypercallTable = std::array<HypercallRow, kCountedHypercalls>;
extern const HypercallTable hypercall_table;

}  // namespace torii
