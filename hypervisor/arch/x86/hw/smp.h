// Several CPUs: starting them, and making them flush or stop.
//
// A CPU that waits for others to flush serves their requests meanwhile, and so does one that spins for a lock
// (base/lock.h): so no two can wait for each other. Everywhere else the hypervisor runs for a bounded time
// with interrupts off, and guests are interrupted.
#pragma once

#include "arch/x86/hw/cpu_local.h"

namespace torii::hw {

// Starts the enabled CPUs of the MADT until `most` run, the calling boot CPU counted. Its clock, its APIC and
// the heap work; boot memory is still there.
void start_other_cpus(uint32_t most);

// The area of a CPU that runs.
[[nodiscard]] CpuLocal& local_of(CpuId cpu);

// From the flush interrupt, or while waiting: flushes if someone asked for it.
void serve_flush_request();

// Everything, global translations too, on every CPU. For mappings of the hypervisor's own that go away.
void flush_globals_everywhere();

// The machine has come to its end: the other CPUs halt, wherever they are.
void stop_other_cpus();
// From an NMI: halts if that was asked for.
void halt_if_stopping();

}  // namespace torii::hw
