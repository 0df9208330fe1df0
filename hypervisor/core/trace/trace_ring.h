// The last 64 hypercalls and traps of one vCPU: what a dying domain did last.
#pragma once

#include <cstdint>

namespace torii {

enum class TraceKind : uint8_t { kNothing, kHypercall, kTrap };

struct TraceEntry {
    uint64_t rip;
    uint64_t detail;  // first argument of a hypercall; fault address or error code of a trap
    uint32_t result;  // low half of a hypercall's result
    uint16_t number;  // hypercall number or vector
    TraceKind kind;
    uint8_t in_kernel_mode;
};

struct TraceRing {
    static constexpr unsigned kEntries = 64;
    TraceEntry* entries = nullptr;  // kEntries of them
    uint32_t next = 0;

    TraceEntry& push(TraceKind kind, uint16_t number, uint64_t rip, uint64_t detail, bool in_kernel_mode) {
        TraceEntry& entry = entries[next++ % kEntries];
        entry = {rip, detail, 0, number, kind, in_kernel_mode};
        return entry;
    }
};

}  // namespace torii
