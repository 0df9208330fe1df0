// What each CPU counts, always: hypercalls, traps and events by kind. `torii counters` and sysctl perfc read
// them.
//
// A counter is written by its own CPU only, so an increment is one plain instruction; readers add up the CPUs
// and may miss the last few.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "base/once.h"

namespace torii {

inline constexpr unsigned kCountedHypercalls = 64;  // the hypercall table's size: a power of two
inline constexpr unsigned kCountedTraps = 32;

enum class EventKind : uint8_t {
    kMulticallEntry,        // a call inside a batch
    kContinuation,          // a long call stopped and was issued again
    kUnknownHypercall,      // a number beyond the table
    kUpcall,                // an event upcall pushed on a guest's stack
    kVirtualInterrupt,      // a VIRQ raised
    kEventSend,             // a port notified by a domain
    kGuestExceptionPassed,  // a trap handed to the guest's own handler
    kEmulated,              // an instruction emulated
    kPageTableEmulated,     // a write to a page table emulated
    kContextSwitch,         // another vCPU took over
    kTimerInterrupt,
    kDeviceInterrupt,
    kTlbFlush,
    kDomainKilled,
};
inline constexpr unsigned kEventKinds = 14;

class Counter {
public:
    // By the CPU that it belongs to.
    void operator++() {
#ifdef TORII_HOST
        write_once(value_, value_ + 1);  // for the eyes of ThreadSanitizer
#else
        asm("incq %0" : "+m"(value_));
#endif
    }
    [[nodiscard]] uint64_t read() const {
        return read_once(value_);
    }

private:
    uint64_t value_ = 0;
};

template <class Cell>
struct CounterSet {
    Cell hypercalls[kCountedHypercalls];
    Cell traps[kCountedTraps];
    Cell events[kEventKinds];
};
using CpuCounters = CounterSet<Counter>;
using CounterTotals = CounterSet<uint64_t>;

// The calling CPU's, and that of one that runs. Defined by the platform.
[[nodiscard]] CpuCounters& counters();
[[nodiscard]] CpuCounters& counters_of(CpuId cpu);

inline void count_event(EventKind kind) {
    ++counters().events[static_cast<unsigned>(kind)];
}
inline void count_trap(unsigned vector) {
    ++counters().traps[vector % kCountedTraps];
}

// Sums over all CPUs since the last reset.
[[nodiscard]] CounterTotals total_counters();
void reset_counters();
[[nodiscard]] const char* name_of(EventKind kind);

}  // namespace torii
