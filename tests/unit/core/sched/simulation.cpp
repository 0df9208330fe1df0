#include "unit/core/sched/simulation.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "port/machine.h"

namespace torii {

using test::machine;

namespace test {
Machine machine;
}

void panic_at(const char* reason, const char* file, unsigned line) {
    std::fprintf(stderr, "panic: %s at %s:%u\n", reason, file, line);
    std::abort();
}
void serve_while_waiting() {}
namespace {
std::vector<LockRank> held;
}
void lock_rank_enter(LockRank rank, const void*) {
    BUG_ON(!held.empty() && held.back() <= rank);
    held.push_back(rank);
}
void lock_rank_leave(LockRank, const void*) {
    held.pop_back();
}
Nanoseconds now() {
    return machine.time;
}
CpuId this_cpu() {
    return CpuId(0);
}
unsigned cpu_count() {
    return 1;
}
void request_reschedule(CpuId) {
    machine.reschedule = true;
}
void set_cpu_timer(CpuId, Nanoseconds deadline) {
    machine.device = deadline;
    ++machine.device_sets;
}
void sched_switch_to(SchedUnit&, SchedUnit&) {
    BUG_ON(!held.empty());
    ++machine.switches;
}

namespace test {

void Simulation::Guest::Alarm::ring(Timer& timer) {
    Guest& guest = static_cast<Alarm&>(timer).guest;
    guest.woken_at = machine.time;
    sched_wake(guest.unit);
}

Nanoseconds Simulation::Guest::worst_delay() const {
    return delays.empty() ? 0 : *std::max_element(delays.begin(), delays.end());
}

Simulation::Simulation() {
    machine = {};
    enter_cpu_scheduler(CpuId(0), cpu);
    cpu.queue.start(idle, machine.time);
}

Simulation::~Simulation() {
    for (auto& guest : guests)
        timer_cancel(guest->alarm);
    // The slice timer belongs to the queue and goes with it.
    while (cpu.timers.next_deadline() != kNever)
        cpu.timers.expire(kNever - 1);
}

Simulation::Guest& Simulation::add(Program program, uint32_t weight) {
    guests.push_back(std::make_unique<Guest>(std::move(program)));
    Guest& guest = *guests.back();
    sched_place(guest.unit, CpuId(0), weight, machine.time);
    start_next_step(guest);
    sched_unpause(guest.unit);
    return guest;
}

Simulation::Guest* Simulation::running() {
    for (auto& guest : guests) {
        if (&guest->unit == &cpu.queue.current()) return guest.get();
    }
    return nullptr;
}

void Simulation::start_next_step(Guest& guest) {
    guest.step = guest.program();
    guest.left = guest.step.run;
}

void Simulation::run_for(Nanoseconds length) {
    const Nanoseconds end = machine.time + length;
    while (machine.time < end) {
        if (machine.reschedule) {
            machine.reschedule = false;
            sched_reschedule();
        }
        Guest* const guest = running();
        if (guest != nullptr && guest->woken_at != kNever) {
            guest->delays.push_back(machine.time - guest->woken_at);
            guest->woken_at = kNever;
        }
        // The next thing to happen: the timer, or the end of this stretch of computing.
        Nanoseconds next = std::min(end, std::max(machine.device, machine.time));
        if (guest != nullptr && guest->left != kNever) next = std::min(next, machine.time + guest->left);
        const Nanoseconds passed = next - machine.time;
        machine.time = next;
        if (guest != nullptr && guest->left != kNever) guest->left -= passed;
        if (guest != nullptr && guest->left == 0) {
            const Nanoseconds sleep = guest->step.sleep;
            start_next_step(*guest);
            if (sleep == 0) {
                sched_yield();
            } else {
                timer_set(guest->alarm, machine.time + sleep);
                sched_block(guest->unit, [] { return false; });
            }
        }
        if (machine.device <= machine.time) {
            machine.device = kNever;
            cpu.timers.expire(machine.time);
        }
    }
}

}  // namespace test
}  // namespace torii
