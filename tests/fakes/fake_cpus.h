// Real threads as CPUs, for tests of what several of them do at once.
//
// A vCPU's stack is a thread, and so is each CPU's idle stack; a CPU is a token that is handed from one to
// the next by switch_context(). So at most one thread runs per CPU, calls may block in the middle, and vCPUs
// may move between CPUs. What one CPU asks of another (a flush above all) happens as on a machine: the other
// one does it while it waits for something or between two operations, and the asking one waits for that.
//
// Without start_cpus() there are no such threads: a test's own threads take any CPU's part by
// Machine::set_current(), and what would be asked of another CPU is done on the spot.
#pragma once

#include <functional>

#include "base/ids.h"

namespace torii {
struct Vcpu;
}

namespace torii::fakes {

// What a vCPU does: called once on its own stack, and never returns but by an exception, when the vCPU is
// freed.
using Guest = std::function<void(Vcpu&)>;

// All CPUs begin to idle, and to run what the scheduler gives them.
void start_cpus(Guest guest);
// vCPUs that run are paused for good as they come to the end of their operation; then the CPUs are no more.
void stop_cpus();

// From any other thread: each CPU stands still between two operations, until release_cpus().
void hold_cpus();
void release_cpus();

// The way out of the hypervisor, after each operation of the calling vCPU: what others asked for is done,
// timers fire, and another vCPU runs if that is due.
void way_out(Vcpu& vcpu);

}  // namespace torii::fakes
