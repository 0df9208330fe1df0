// A virtual CPU.
#pragma once

#include <atomic>

#include "arch/x86/pv/vcpu_state.h"  // data only: saves a pointer on every hot path
#include "base/ids.h"
#include "core/domain/vcpu_timers.h"
#include "core/event/event_channel.h"
#include "core/sched/scheduler.h"
#include "core/trace/trace_ring.h"

namespace torii {

struct Domain;

// Bits of PvEntryState::exit_work: what the way out of the hypervisor must do before the guest runs on.
inline constexpr uint8_t kWorkReschedule = 1u << 0;  // someone else should run
inline constexpr uint8_t kWorkStop = 1u << 1;        // paused, going down, or its domain is no more
inline constexpr uint8_t kWorkNmi = 1u << 2;         // an NMI for the guest

struct Vcpu {
    pv::PvEntryState entry;  // first: the assembly finds it without an offset
    pv::PvVcpu pv;
    Domain* domain = nullptr;
    VcpuId id{};

    EventVcpu events;
    SchedUnit unit;
    VcpuTimers timers{*this};
    uint64_t runstate_area = 0;  // guest address, zero: none (core/domain/vcpu_areas.h)

    bool initialised = false;         // has a context to run
    std::atomic<bool> up{false};      // VCPUOP_up, and not VCPUOP_down
    std::atomic<uint32_t> pauses{0};  // by domctl, by the hypervisor
    Mfn info_frame = kInvalidMfn;     // registered vcpu_info: holds a reference; invalid: in shared_info
    TraceRing trace;                  // the last hypercalls and traps, shown when the domain dies
};

}  // namespace torii
