#include "arch/x86/hw/idle.h"

#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/interrupts.h"
#include "arch/x86/hw/smp.h"
#include "core/call/platform_hooks.h"
#include "core/memory/allocator.h"
#include "core/memory/heap.h"
#include "core/sched/scheduler.h"
#include "port/machine.h"

namespace torii::hw {
namespace {

constexpr uint64_t kFramesPerScrub = 16;

struct IdleCpu {
    IdleCpu(CpuId cpu, CpuPlace place) : scheduler(cpu, place) {}
    SchedUnit unit;
    CpuScheduler scheduler;
};

}  // namespace

void prepare_scheduler(CpuId cpu) {
    const CpuIdentity identity = identity_of(cpu);
    Result<IdleCpu*> made = heap_new<IdleCpu>(cpu, CpuPlace{identity.core, identity.socket});
    if (!made.ok()) BUG("no memory for the scheduler");
    IdleCpu& idle_cpu = *made.value();
    local_of(cpu).scheduler = &idle_cpu.scheduler;
    idle_cpu.scheduler.queue.start(idle_cpu.unit, now());
}

SchedUnit& idle_unit_of(CpuId cpu) {
    return local_of(cpu).scheduler->queue.idle();
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

namespace torii {

CpuScheduler& cpu_scheduler(CpuId cpu) {
    return *hw::local_of(cpu).scheduler;
}
CpuScheduler& this_cpu_scheduler() {
    return *hw::local().scheduler;
}

}  // namespace torii
