// How long a vCPU ran, waited, slept and was held back (public vcpu.h, vcpu_runstate_info).
#pragma once

#include <torii/abi/vcpu.h>

#include <cstddef>

#include "base/ids.h"
#include "base/once.h"

namespace torii {

class RunstateClock {
public:
    [[nodiscard]] abi::RunState state() const { return static_cast<abi::RunState>(info_.state); }

    // From `now` on the unit is in `next`.
    void change(abi::RunState next, Nanoseconds now) {
        settle(now);
        info_.state = static_cast<int32_t>(next);
    }

    // Times up to `now`, with the stretch that isn't over counted in; their sum is the time since the clock
    // began.
    [[nodiscard]] abi::VcpuRunstateInfo snapshot(Nanoseconds now) const {
        abi::VcpuRunstateInfo info = info_;
        if (now > info.state_entry_time) info.time[info.state] += now - info.state_entry_time;
        return info;
    }

    // As of the last change: what the guest's area gets.
    [[nodiscard]] const abi::VcpuRunstateInfo& info() const { return info_; }

    // The clock begins with the vCPU, which is offline at first.
    void begin(Nanoseconds now) { info_.state_entry_time = now; }

private:
    void settle(Nanoseconds now) {
        if (now > info_.state_entry_time) info_.time[info_.state] += now - info_.state_entry_time;
        info_.state_entry_time = now;
    }
    abi::VcpuRunstateInfo info_{static_cast<int32_t>(abi::RunState::kOffline), 0, 0, {}};
};

// Writes `info` to a guest's area through `copy(offset, bytes, length)`, which returns false when the area
// isn't mapped. With `mark_update` (VMASST runstate_update_flag) the entry time carries the update flag while
// the rest is written, so that a reader on another CPU sees that it must read again.
template <class Copy>
bool publish_runstate(abi::VcpuRunstateInfo info, bool mark_update, Copy&& copy) {
    constexpr size_t kEntry = offsetof(abi::VcpuRunstateInfo, state_entry_time);
    if (!mark_update) return copy(size_t{0}, &info, sizeof(info));
    const uint64_t entry_time = info.state_entry_time;
    info.state_entry_time |= abi::kRunstateUpdate;
    if (!copy(kEntry, &info.state_entry_time, sizeof(uint64_t))) return false;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    if (!copy(size_t{0}, &info, sizeof(info))) return false;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    return copy(kEntry, &entry_time, sizeof(uint64_t));
}

}  // namespace torii
