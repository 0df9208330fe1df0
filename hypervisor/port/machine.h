// What the core asks of the machine. Defined by arch/x86/hw, and by tests/fakes on the host.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/cpu_mask.h"
#include "base/flush_clock.h"
#include "base/frame.h"
#include "base/ids.h"
#include "base/rememberers.h"

namespace torii {

struct Vcpu;

// --- time and CPUs ---
Nanoseconds now();  // since boot, never backwards
// The calling CPU's time stamp counter minus that of the boot CPU; zero while clock_scale.stable.
[[nodiscard]] int64_t timestamp_offset();
CpuId this_cpu();
unsigned cpu_count();
[[nodiscard]] const CpuMask& running_cpus();          // those [0, cpu_count())
Vcpu* current_vcpu();                                 // whose stack this is; null on an idle stack
void request_reschedule(CpuId cpu);                   // soon, on the way out of the hypervisor there
void set_cpu_timer(CpuId cpu, Nanoseconds deadline);  // one-shot, kNever disarms; only for the calling CPU

// --- translations ---
// The stamp of a frame is taken when its last dangerous mapping goes: the page-table entry was changed by a
// locked instruction before (base/flush_clock.h). `flush_stale` returns when no CPU remembers any more what
// it remembered then of these page tables.
[[nodiscard]] FlushEpoch take_flush_stamp();
void flush_stale(FlushEpoch stamp, Rememberers whose);
// Everything not global, or one page, on these CPUs; returns when it is gone. The page-table entries were
// changed by locked instructions.
void flush_tlb(const CpuMask& cpus);
void flush_tlb_page(const CpuMask& cpus, GuestVa page);
void flush_this_cpu();
void flush_page_on_this_cpu(GuestVa page);
// Returns when each other CPU has been seen between two of the hypervisor's operations, or waiting for a
// lock: none of them uses a pointer any more that it read, without a lock, before the call. For structures
// that are looked up without locks.
void wait_for_all_cpus();

// --- console device ---
void console_device_write(std::string_view text);

}  // namespace torii
