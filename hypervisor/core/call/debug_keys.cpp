#include "core/call/debug_keys.h"

#include "base/log.h"
#include "base/once.h"
#include "core/call/counters.h"
#include "core/domain/domain.h"
#include "core/memory/allocator.h"
#include "core/memory/heap.h"
#include "hypercall_table.h"

namespace torii {
namespace {

void show_domains() {
    for (DomId id{0};;) {
        const DomainRef domain(next_domain(id));
        if (!domain) return;
        id = DomId(static_cast<uint16_t>(domain->id.raw() + 1));
        log(LogLevel::kInfo, "d{}: life {}, {} of {} frames, {} vCPUs, pauses {}, shut down {} with {}",
            domain->id, domain->life.load(), read_once(domain->frame_count), read_once(domain->frame_limit),
            domain->vcpu_count, domain->pauses.load(), domain->is_shut_down(), domain->shutdown_code());
    }
}

void show_memory() {
    log(LogLevel::kInfo, "memory: {} frames free, {} in the hypervisor's heap", free_frame_count(),
        heap_frames_in_use());
}

void show_counters() {
    const CounterTotals totals = total_counters();
    for (unsigned i = 0; i < kCountedHypercalls; ++i) {
        if (totals.hypercalls[i] != 0)
            log(LogLevel::kInfo, "{}: {}", hypercall_table[i].name, totals.hypercalls[i]);
    }
    for (unsigned i = 0; i < kCountedTraps; ++i) {
        if (totals.traps[i] != 0) log(LogLevel::kInfo, "trap {}: {}", i, totals.traps[i]);
    }
    for (unsigned i = 0; i < kEventKinds; ++i) {
        if (totals.events[i] != 0)
            log(LogLevel::kInfo, "{}: {}", name_of(static_cast<EventKind>(i)), totals.events[i]);
    }
}

}  // namespace

void handle_debug_key(char key) {
    switch (key) {
        case 'h':
            log(LogLevel::kInfo,
                "keys: h this list, m memory, p counters, P counters to zero, q domains, C crash, W hang "
                "this CPU");
            break;
        case 'm':
            show_memory();
            break;
        case 'p':
            show_counters();
            break;
        case 'P':
            reset_counters();
            break;
        case 'q':
            show_domains();
            break;
        case 'C':
            BUG("asked for by debug key");
        case 'W':  // for the watchdog to find
            log(LogLevel::kWarning, "this CPU hangs from here on");
            for (;;)
                asm volatile("");
        default:
            log(LogLevel::kInfo, "no debug key {x}; 'h' lists them",
                static_cast<uint32_t>(static_cast<unsigned char>(key)));
    }
}

}  // namespace torii
