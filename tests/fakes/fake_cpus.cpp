#include "fakes/fake_cpus.h"

#include <condition_variable>
#include <mutex>
#include <thread>

#include "core/domain/domain.h"
#include "core/domain/vcpu_areas.h"
#include "fakes/fake_machine.h"
#include "fakes/fake_tlb.h"
#include "port/context.h"
#include "port/machine.h"
#include "port/platform.h"

namespace torii {
namespace fakes {
namespace {

// Idle CPUs let time pass, so that whoever waits for a moment comes to see it.
constexpr Nanoseconds kIdleStep = 500;

// Thrown on the stack of a vCPU that is no more, through frames of the hypervisor, which a machine would
// simply leave.
struct StackGone {};

// A thread that runs only while it has a CPU.
struct Stack {
    explicit Stack(Vcpu* owner) : vcpu(owner) {}

    Vcpu* const vcpu;  // null: a CPU's idle stack
    std::mutex mutex;
    std::condition_variable changed;
    bool has_cpu = false;
    bool gone = false;
    CpuId cpu{};
    std::thread thread;

    void give(CpuId which) {
        const std::lock_guard guard(mutex);
        cpu = which;
        has_cpu = true;
        changed.notify_one();
    }
    void wait_for_cpu() {
        std::unique_lock guard(mutex);
        changed.wait(guard, [this] { return has_cpu || gone; });
        if (gone) throw StackGone{};
        has_cpu = false;
        Machine::set_current(vcpu, cpu);
        act_as_cpu();
    }
};

struct Cpu {
    Stack idle{nullptr};
    Vcpu* loaded = nullptr;  // whose translations it may hold
};

Cpu cpus[kFakeCpus];
Guest guest_program;
std::atomic<bool> stopping{false};
std::atomic<bool> holding{false};
std::atomic<unsigned> held{0};
thread_local Stack* my_stack = nullptr;

Cpu& this_fake_cpu() {
    return cpus[this_cpu().raw()];
}

void stand_still() {
    if (!holding.load(std::memory_order_acquire)) return;
    held.fetch_add(1, std::memory_order_acq_rel);
    while (holding.load(std::memory_order_acquire)) {
        serve_others();
        std::this_thread::yield();
    }
    held.fetch_sub(1, std::memory_order_acq_rel);
}

void between_operations() {
    BUG_ON(Machine::locks_held() != 0);
    serve_others();
    stand_still();
    if (take_cpu_timer(now())) cpu_scheduler(this_cpu()).timers.expire(now());
}

void idle(CpuId number) {
    Cpu& cpu = cpus[number.raw()];
    my_stack = &cpu.idle;
    cpu.idle.wait_for_cpu();
    for (;;) {
        between_operations();
        (void)take_reschedule_request();
        sched_reschedule();
        if (stopping.load() && cpu_scheduler(number).queue.waiting() == 0) break;
        machine().advance(kIdleStep);
        std::this_thread::yield();
    }
    leave_cpu(number);
}

void run_vcpu(Stack& stack) {
    my_stack = &stack;
    try {
        stack.wait_for_cpu();
        vcpu_arrives(*stack.vcpu);
        guest_program(*stack.vcpu);
        BUG("a guest's program ended");
    } catch (const StackGone&) {
        my_stack = nullptr;
    }
}

Stack& stack_of(Vcpu& vcpu) {
    if (vcpu.pv.stack == nullptr) {
        auto* const stack = new Stack(&vcpu);
        stack->thread = std::thread([stack] { run_vcpu(*stack); });
        vcpu.pv.stack = stack;
    }
    return *static_cast<Stack*>(vcpu.pv.stack);
}

// As on a machine: an idle CPU keeps nothing of the vCPU that it ran.
void load(Cpu& cpu, Vcpu* to) {
    if (to == nullptr) {
        if (cpu.loaded == nullptr) return;
        flush_this_cpu();
        cpu.loaded->domain->dirty_cpus.remove(this_cpu());
    } else if (to != cpu.loaded) {
        to->domain->dirty_cpus.add(this_cpu());
        flush_this_cpu();
    }
    cpu.loaded = to;
}

}  // namespace

void start_cpus(Guest guest) {
    guest_program = std::move(guest);
    stopping.store(false);
    for (unsigned i = 0; i < kFakeCpus; ++i) {
        enter_cpu(CpuId(i));
        cpus[i].idle.thread = std::thread([i] { idle(CpuId(i)); });
        cpus[i].idle.give(CpuId(i));
    }
}

void stop_cpus() {
    stopping.store(true);
    for (Cpu& cpu : cpus)
        cpu.idle.thread.join();
}

void hold_cpus() {
    while (held.load(std::memory_order_acquire) != 0)
        std::this_thread::yield();
    holding.store(true, std::memory_order_release);
    while (held.load(std::memory_order_acquire) != kFakeCpus)
        std::this_thread::yield();
}

void release_cpus() {
    holding.store(false, std::memory_order_release);
}

void way_out(Vcpu& vcpu) {
    if (my_stack == nullptr) {
        vcpu.entry.exit_work = 0;
        return;
    }
    between_operations();
    if (stopping.load()) sched_pause(vcpu.unit);
    uint8_t work = __atomic_exchange_n(&vcpu.entry.exit_work, uint8_t{0}, __ATOMIC_ACQ_REL);
    if (take_reschedule_request()) work |= kWorkReschedule;
    if ((work & (kWorkStop | kWorkReschedule)) != 0 || stopping.load()) sched_reschedule();
}

}  // namespace fakes

using namespace fakes;  // NOLINT: the definitions below are the fakes

void switch_context(Vcpu*, Vcpu* to) {
    if (my_stack == nullptr) return;
    BUG_ON(Machine::locks_held() != 0);
    Stack& mine = *my_stack;
    Cpu& cpu = this_fake_cpu();
    load(cpu, to);
    Stack& next = to != nullptr ? stack_of(*to) : cpu.idle;
    next.give(this_cpu());
    mine.wait_for_cpu();
}

void destroy_vcpu_platform(Vcpu& vcpu) {
    delete vcpu.pv.registers;
    auto* const stack = static_cast<Stack*>(vcpu.pv.stack);
    if (stack == nullptr) return;
    {
        const std::lock_guard guard(stack->mutex);
        stack->gone = true;
        stack->changed.notify_one();
    }
    stack->thread.join();
    delete stack;
}

// A CPU that ran it and runs something else now, or idles, has flushed on the way.
void forget_vcpu_on_cpus(Vcpu& vcpu) {
    if (my_stack == nullptr) flush_tlb(vcpu.domain->dirty_cpus);
}

}  // namespace torii
