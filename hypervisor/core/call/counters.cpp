#include "core/call/counters.h"

#include "port/machine.h"

namespace torii {
namespace {

// What the sums were at the last reset: a CPU's counters are never written by another. Two resets at once mix
// two moments that lie beside each other.
constinit CounterTotals at_reset{};

template <size_t kCount>
void add(uint64_t (&totals)[kCount], const Counter (&counters)[kCount]) {
    for (size_t i = 0; i < kCount; ++i)
        totals[i] += counters[i].read();
}
template <size_t kCount>
void subtract(uint64_t (&totals)[kCount], const uint64_t (&base)[kCount]) {
    for (size_t i = 0; i < kCount; ++i)
        totals[i] -= read_once(base[i]);
}
template <size_t kCount>
void keep(uint64_t (&base)[kCount], const uint64_t (&totals)[kCount]) {
    for (size_t i = 0; i < kCount; ++i)
        write_once(base[i], totals[i]);
}

CounterTotals totals_since_boot() {
    CounterTotals totals{};
    for (unsigned id = 0; id < cpu_count(); ++id) {
        const CpuCounters& cpu = counters_of(CpuId(id));
        add(totals.hypercalls, cpu.hypercalls);
        add(totals.traps, cpu.traps);
        add(totals.events, cpu.events);
    }
    return totals;
}

}  // namespace

CounterTotals total_counters() {
    CounterTotals totals = totals_since_boot();
    subtract(totals.hypercalls, at_reset.hypercalls);
    subtract(totals.traps, at_reset.traps);
    subtract(totals.events, at_reset.events);
    return totals;
}

void reset_counters() {
    const CounterTotals totals = totals_since_boot();
    keep(at_reset.hypercalls, totals.hypercalls);
    keep(at_reset.traps, totals.traps);
    keep(at_reset.events, totals.events);
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
        case EventKind::kDeviceInterrupt:
            return "device interrupts";
        case EventKind::kTlbFlush:
            return "TLB flushes";
        case EventKind::kDomainKilled:
            return "domains killed";
    }
    return "?";
}

}  // namespace torii
