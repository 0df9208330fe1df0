// The machine that the hypervisor's core runs on in tests: memory is an arena, CPUs are numbers.
//
// The core keeps its frame table and free lists in globals that are set up once, so there is one machine per
// process: it is built at the first call of machine(), and a test that wants to see leaks compares counts
// before and after.
//
// The arena is mapped twice. The hypervisor's view is what `direct_map` shows; frames above the direct map
// are poisoned there and can only be touched through a window, as on a machine too large for its direct map.
// The guest's view shows every frame.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>

#include "base/frame.h"
#include "base/ids.h"
#include "core/memory/frame_table.h"
#include "fakes/fake_tlb.h"

namespace torii {
struct Vcpu;
}

namespace torii::fakes {

// RAM is in two pieces: one below 4 GiB, all in the direct map, and one above, none of it. Frame 0 is
// firmware's. What else the frame table describes, a section around each piece, is no RAM and belongs to
// kOwnerIo.
inline constexpr uint64_t kLowFrames = 6 * 1024;
inline constexpr Mfn kFirstHighFrame{uint64_t{1} << 20};
inline constexpr uint64_t kHighFrames = 4 * 1024;
inline constexpr Mfn kFirstIoFrame{kLowFrames};
inline constexpr uint64_t kFrameTableEnd = kFirstHighFrame.raw() + (uint64_t{1} << kSectionShift);
inline constexpr unsigned kMostWindows = 8;

// What the core asked the machine for; tests compare differences.
struct MachineCounts {
    std::atomic<uint64_t> full_flushes{0};
    std::atomic<uint64_t> page_flushes{0};
    std::atomic<uint64_t> reschedules{0};
    std::atomic<uint64_t> log_lines{0};
};

class Machine {
public:
    Machine();
    Machine(const Machine&) = delete;

    // A frame as its owner sees it, through its own page tables.
    template <class T = unsigned char>
    [[nodiscard]] T* guest_view(Mfn mfn) const {
        return reinterpret_cast<T*>(guest_view_ + (mfn.raw() << kPageShift));
    }

    void advance(Nanoseconds by) { time_ += by; }
    [[nodiscard]] Nanoseconds time() const { return time_; }
    // Who runs on the calling thread.
    static void set_current(Vcpu* vcpu, CpuId cpu = CpuId(0));
    [[nodiscard]] static unsigned open_windows();
    // Of the calling thread.
    [[nodiscard]] static size_t locks_held();

    MachineCounts counts;
    std::array<int64_t, kFakeCpus> timestamp_offsets{};  // of each CPU

private:
    unsigned char* guest_view_ = nullptr;
    std::atomic<Nanoseconds> time_{0};
};

[[nodiscard]] Machine& machine();

// --- what CPUs ask of each other (fakes/fake_cpus.h) ---
// The CPU has threads of its own from here on, or has none any more. What it was asked for is done first.
void enter_cpu(CpuId cpu);
void leave_cpu(CpuId cpu);
// The calling thread is the one that runs on this_cpu().
void act_as_cpu();
// `work` is done by that CPU, or by the caller when the CPU has no threads, before the call returns.
void on_cpu(CpuId cpu, const std::function<void()>& work);
// Does what others asked of the calling thread's CPU, if it has one.
void serve_others();
// Whether this CPU was told to look who should run, and whether its timer was due; both are over then.
[[nodiscard]] bool take_reschedule_request();
[[nodiscard]] bool take_cpu_timer(Nanoseconds time);

}  // namespace torii::fakes
