#include "core/call/counters.h"

#include "port/machine.h"

namespace torii {
CpuCounters total_counters() {
    CpuCounters total{};
    for (unsigned id = 0; id < cpu_count(); ++id) {
        const CpuCounters& cpu = counters_of(CpuId(id));
        for (unsigned i = 0; i < kCountedHypercalls; ++i)
            total.hypercalls[i] += cpu.hypercalls[i];
        for (unsigned i = 0; i < kCountedTraps; ++i)
            total.traps[i] += cpu.traps[i];
        for (unsigned i = 0; i < kEventKinds; ++i)
            total.events[i] += cpu.events[i];
    }
    return total;
}

void reset_counters() {
    for (unsigned id = 0; id < cpu_count(); ++id)
        counters_of(CpuId(id)) = CpuCounters{};
}

const char* name_of(EventKind kind) {
    switch (kind) {
        case EventKind::kMulticallEntry:
            return "multicall entries";
        case EventKind::kContinuation:
            return "hypercalls continued";
        case EventKind::kUnknownHypercall:
            return "unknown hypercalls";
        case EventKind::kUpcall:
            return "event upcalls";
        case EventKind::kVirtualInterrupt:
            return "virtual interrupts";
        case EventKind::kEventSend:
            return "events sent";
        case EventKind::kGuestExceptionPassed:
            return "traps passed to guests";
        case EventKind::kEmulated:
            return "instructions emulated";
        case EventKind::kPageTableEmulated:
            return "page-table writes emulated";
        case EventKind::kContextSwitch:
            return "context switches";
        case EventKind::kTimerInterrupt:
            return "timer interrupts";
        case EventKind::kTlbFlush:
            return "TLB flushes";
        case EventKind::kDomainKilled:
            return "domains killed";
    }
    return "?";
}

}  // namespace torii
