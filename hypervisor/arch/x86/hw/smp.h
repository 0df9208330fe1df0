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

// What CPUs ask of each other: bits of ForOthers::requests.
inline constexpr uint32_t kRequestFlush = 1u << 0;        // its TLB, but for global translations
inline constexpr uint32_t kRequestSynchronise = 1u << 1;  // all of its TLB

// From the request interrupt, or while waiting: does what others asked for.
void serve_requests();
// Returns when each of `cpus`, the calling one left out, has done so since the call. They are asked all at
// once, then waited for.
void request_of(const CpuMask& cpus, uint32_t request);
// Asks, and does not wait.
void ask(CpuLocal& cpu, uint32_t request);

// Everything, global translations too, on every CPU. For mappings of the hypervisor's own that go away.
void flush_globals_everywhere();

// The machine has come to its end: the other CPUs stop, wherever they are. Where two CPUs come here, the
// second one stops too.
void stop_other_cpus();
// Lets each of them say where it was, one after the other.
void report_other_cpus();
// From an NMI: stops if that was asked for.
void halt_if_stopping(const pv::GuestRegisters& registers);

}  // namespace torii::hw
