// Simulated CPUs: time that jumps from event to event, and guests as little programs of "compute this long,
// then sleep that long".
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/sched/scheduler.h"

namespace torii::test {

class Simulation;

struct SimulatedCpu {
    Nanoseconds device = kNever;  // what the CPU's timer is set for
    bool reschedule = false;
};

struct Machine {
    Nanoseconds time = 1'000'000;
    CpuId cpu{0};  // whose code runs now
    std::vector<SimulatedCpu> cpus;
    Simulation* simulation = nullptr;
    uint64_t switches = 0;
    uint64_t device_sets = 0;
    uint64_t decisions = 0;
};
extern Machine machine;

class Simulation {
public:
    // What a guest does next: computes for `run`, then sleeps for `sleep` (0: yields; kNever: computes on).
    struct Step {
        Nanoseconds run;
        Nanoseconds sleep;
    };
    using Program = std::function<Step()>;

    struct Guest;
    struct Unit : SchedUnit {
        Guest* guest = nullptr;
    };
    struct Guest {
        Guest(Simulation& owner, Program what) : simulation(owner), program(std::move(what)), alarm(*this) {
            unit.guest = this;
        }
        Simulation& simulation;
        Unit unit;
        Program program;
        Step step{};
        Nanoseconds left = 0;              // of this step's computing
        Nanoseconds woken_at = kNever;     // waiting for its first instant on the CPU since
        Nanoseconds waits_since = kNever;  // for the audit: how long it may have been waiting
        std::vector<Nanoseconds> delays;   // from wake-up to running
        struct Alarm : Timer {
            explicit Alarm(Guest& owner) : Timer(&ring), guest(owner) {}
            static void ring(Timer& timer);
            Guest& guest;
        } alarm;

        [[nodiscard]] Nanoseconds ran() const {
            return unit.clock.snapshot(machine.time).time[static_cast<int>(abi::RunState::kRunning)];
        }
        [[nodiscard]] Nanoseconds worst_delay() const;
        [[nodiscard]] Nanoseconds delay_percentile(double part) const;
    };

    // `place(i)` says where the CPU i is; without it each is a core of one package.
    explicit Simulation(unsigned cpus = 1, std::function<CpuPlace(unsigned)> place = {});
    ~Simulation();
    // In a group of its own, or in one that is given.
    Guest& add(Program program, uint32_t weight = kDefaultWeight);
    Guest& add_to(SchedGroup& group, Program program);
    SchedGroup& new_group(uint32_t weight = kDefaultWeight);
    // Ends a guest for good, as the end of its domain does.
    void end(size_t index);
    void run_for(Nanoseconds length);
    void deliver();  // what CPUs were asked to reschedule for
    // The whole state recounted; a unit may wait next to an idle CPU for `bound`.
    void audit(Nanoseconds bound);

    [[nodiscard]] RunQueue& queue(unsigned cpu) { return schedulers_[cpu]->queue; }
    [[nodiscard]] TimerQueue& timers(unsigned cpu) { return schedulers_[cpu]->timers; }
    [[nodiscard]] unsigned cpus() const { return static_cast<unsigned>(schedulers_.size()); }
    // Acts as if `action` were called by code that runs on that CPU.
    template <class Action>
    void on(unsigned cpu, Action&& action) {
        const CpuId before = machine.cpu;
        machine.cpu = CpuId(cpu);
        action();
        machine.cpu = before;
    }

    std::vector<std::unique_ptr<Guest>> guests;
    CpuScheduler& cpu_scheduler(unsigned cpu) { return *schedulers_[cpu]; }

private:
    [[nodiscard]] Guest* running(unsigned cpu);
    [[nodiscard]] Nanoseconds next_event(Nanoseconds end);
    void finish_step(Guest& guest);
    static void start_next_step(Guest& guest);

    std::vector<std::unique_ptr<CpuScheduler>> schedulers_;
    std::vector<std::unique_ptr<SchedUnit>> idle_;
    std::vector<std::unique_ptr<SchedGroup>> groups_;
};

inline constexpr Nanoseconds kMicrosecond = 1'000;
inline constexpr Nanoseconds kMillisecond = 1'000'000;
inline constexpr Nanoseconds kSecond = 1'000'000'000;

inline Simulation::Program computes() {
    return [] { return Simulation::Step{kNever, kNever}; };
}
// Sleeps and computes in turn.
inline Simulation::Program alternates(Nanoseconds run, Nanoseconds sleep) {
    return [run, sleep] { return Simulation::Step{run, sleep}; };
}

}  // namespace torii::test
