#include "core/trace/trace_dump.h"

#include "base/log.h"
#include "hypercall_table.h"

namespace torii {
namespace {

void log_entry(const TraceEntry& entry) {
    const char* const mode = entry.in_kernel_mode != 0 ? "kernel" : "user";
    if (entry.kind == TraceKind::kTrap) {
        log(LogLevel::kInfo, "  trap {} ({}) rip {x} detail {x}", entry.number, mode, entry.rip,
            entry.detail);
        return;
    }
    const char* const name =
        entry.number < kCountedHypercalls ? hypercall_table[entry.number].name : "unassigned";
    log(LogLevel::kInfo, "  {} rip {x} first argument {x} -> {}", name, entry.rip, entry.detail,
        static_cast<int32_t>(entry.result));
}

}  // namespace

void dump_trace(const Vcpu& vcpu) {
    log(LogLevel::kInfo, "d{}v{}: last hypercalls and traps, oldest first", vcpu.events.table->id(), vcpu.id);
    for (uint32_t i = 0; i < TraceRing::kEntries; ++i) {
        const TraceEntry& entry = vcpu.trace.entries[(vcpu.trace.next + i) % TraceRing::kEntries];
        if (entry.kind != TraceKind::kNothing) log_entry(entry);
    }
}

}  // namespace torii
