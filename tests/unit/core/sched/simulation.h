// One simulated CPU: time that jumps from event to event, and guests as little programs of "compute this
// long, then sleep that long".
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/sched/scheduler.h"

namespace torii::test {

struct Machine {
    Nanoseconds time = 1'000'000;
    Nanoseconds device = kNever;  // what the CPU's timer is set for
    bool reschedule = false;
    unsigned switches = 0;
    unsigned device_sets = 0;
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

    struct Guest {
        explicit Guest(Program what) : program(std::move(what)), alarm(*this) {}
        SchedUnit unit;
        Program program;
        Step step{};
        Nanoseconds left = 0;             // of this step's computing
        Nanoseconds woken_at = kNever;    // waiting for its first instant on the CPU since
        std::vector<Nanoseconds> delays;  // from wake-up to running
        struct Alarm : Timer {
            explicit Alarm(Guest& owner) : Timer(&ring), guest(owner) {}
            static void ring(Timer& timer);
            Guest& guest;
        } alarm;

        [[nodiscard]] Nanoseconds ran() const {
            return unit.clock.snapshot(machine.time).time[static_cast<int>(abi::RunState::kRunning)];
        }
        [[nodiscard]] Nanoseconds worst_delay() const;
    };

    Simulation();
    ~Simulation();
    Guest& add(Program program, uint32_t weight = kDefaultWeight);
    void run_for(Nanoseconds length);

    CpuScheduler cpu{CpuId(0)};
    SchedUnit idle;
    std::vector<std::unique_ptr<Guest>> guests;

private:
    [[nodiscard]] Guest* running();
    void start_next_step(Guest& guest);
};

inline constexpr Nanoseconds kMicrosecond = 1'000;
inline constexpr Nanoseconds kMillisecond = 1'000'000;
inline constexpr Nanoseconds kSecond = 1'000'000'000;

inline Simulation::Program computes() {
    return [] { return Simulation::Step{kNever, kNever}; };
}

}  // namespace torii::test
