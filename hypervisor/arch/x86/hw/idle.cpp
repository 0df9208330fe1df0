#include "arch/x86/hw/idle.h"

#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/interrupts.h"
#include "core/memory/allocator.h"
#include "core/memory/heap.h"
#include "core/sched/scheduler.h"
#include "port/machine.h"

namespace torii::hw {
namespace {

constexpr uint64_t kFramesPerScrub = 16;

struct IdleCpu {
    explicit IdleCpu(CpuId cpu) : scheduler(cpu) {}
    SchedUnit unit;
    CpuScheduler scheduler;
};
constinit IdleCpu* idle_cpus[kMostScheduledCpus]{};

}  // namespace

void prepare_scheduler(CpuId cpu) {
    Result<IdleCpu*> made = heap_new<IdleCpu>(cpu);
    if (!made.ok()) BUG("no memory for the scheduler");
    IdleCpu& idle_cpu = *made.value();
    idle_cpus[cpu.raw()] = &idle_cpu;
    enter_cpu_scheduler(cpu, idle_cpu.scheduler);
    idle_cpu.scheduler.queue.start(idle_cpu.unit, now());
}

SchedUnit& idle_unit_of(CpuId cpu) {
    return idle_cpus[cpu.raw()]->unit;
}

void idle() {
    CpuLocal& me = local();
    for (;;) {
        me.reschedule = false;
        report_nmis();
        sched_reschedule();
        if (me.reschedule) continue;
        if (scrub_some(kFramesPerScrub)) {
            asm volatile("sti; nop; cli");
        } else {
            asm volatile("sti; hlt; cli");
        }
    }
}

}  // namespace torii::hw
