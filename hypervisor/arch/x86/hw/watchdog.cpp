#include "arch/x86/hw/watchdog.h"

#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/options.h"
#include "arch/x86/hw/smp.h"
#include "base/log.h"
#include "core/console/console.h"
#include "core/memory/heap.h"
#include "core/sched/timer.h"
#include "port/machine.h"

namespace torii::hw {
namespace {

constexpr Nanoseconds kPeriod = 1'000'000'000;

struct Watchdog : Timer {
    Watchdog() : Timer(&look) {}
    static void look(Timer& timer);
    uint32_t seen = 0;         // the next CPU's heartbeat
    uint32_t unmoved_for = 0;  // periods
};

void Watchdog::look(Timer& timer) {
    auto& dog = static_cast<Watchdog&>(timer);
    CpuLocal& me = local();
    me.heartbeat.fetch_add(1, std::memory_order_relaxed);
    const CpuId next((me.id.raw() + 1) % cpu_count());
    const uint32_t heartbeat = local_of(next).heartbeat.load(std::memory_order_relaxed);
    // 0: it has no watchdog yet. The boot CPU gets its own when it has built dom0, which may take it longer
    // than the limit.
    dog.unmoved_for = heartbeat != 0 && heartbeat == dog.seen ? dog.unmoved_for + 1 : 0;
    dog.seen = heartbeat;
    if (dog.unmoved_for > options.watchdog_seconds) {
        // It may hold the lock of the log.
        stop_other_cpus();
        console_enter_panic();
        log(LogLevel::kError, "CPU {} has taken no timer interrupt for {} s", next, options.watchdog_seconds);
        BUG("the watchdog found a CPU that hangs");
    }
    timer_set(dog, now() + kPeriod);
}

}  // namespace

void start_watchdog() {
    if (options.watchdog_seconds == 0 || cpu_count() == 1) return;
    Result<Watchdog*> dog = heap_new<Watchdog>();
    if (!dog.ok()) BUG("no memory for the watchdog");
    // Watched from here on, not from the first period's end: it may hang before that.
    local().heartbeat.fetch_add(1, std::memory_order_relaxed);
    timer_set(*dog.value(), now() + kPeriod);
}

}  // namespace torii::hw
