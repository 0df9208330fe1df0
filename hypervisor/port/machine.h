// What the core asks of the machine. Defined by arch/x86/hw, and by tests/fakes on the host.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/frame.h"
#include "base/ids.h"

namespace torii {

struct Vcpu;

// --- time and CPUs ---
Nanoseconds now();  // since boot, never backwards
CpuId this_cpu();
unsigned cpu_count();
Vcpu* current_vcpu();                                 // whose stack this is; null on an idle stack
void request_reschedule(CpuId cpu);                   // soon, on the way out of the hypervisor there
void set_cpu_timer(CpuId cpu, Nanoseconds deadline);  // one-shot, kNever disarms; only for the calling CPU

// --- translations ---
// The stamp of a frame is taken when its last dangerous mapping goes. `flush_stale(stamp, cpus)` returns when
// each of `cpus` (a mask of CpuIds below 64, or all) has flushed its TLB since.
uint32_t take_flush_stamp();
void flush_stale(uint32_t stamp, uint64_t cpus);
void flush_tlb(uint64_t cpus);                     // everything not global on these CPUs
void flush_tlb_page(uint64_t cpus, GuestVa page);  // one page on these CPUs

// --- console device ---
void console_device_write(std::string_view text);

}  // namespace torii
