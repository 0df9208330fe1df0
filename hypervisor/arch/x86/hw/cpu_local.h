// What each CPU has for itself: in its area at TORII_PER_CPU_BASE, found from the stack.
#pragma once

#include <atomic>
#include <cstdint>

#include "arch/x86/hw/layout.h"
#include "base/cpu_mask.h"
#include "base/flush_clock.h"
#include "base/ids.h"
#include "base/rememberers.h"
#include "core/call/counters.h"
#include "core/domain/vcpu.h"

namespace torii {
struct CpuScheduler;
}

namespace torii::hw {

// Intel SDM vol. 3, section 8.7.
struct [[gnu::packed]] TaskState {
    uint32_t reserved0 = 0;
    uint64_t stack[3]{};
    uint64_t reserved1 = 0;
    uint64_t interrupt_stack[7]{};
    uint64_t reserved2 = 0;
    uint16_t reserved3 = 0;
    uint16_t io_map = sizeof(TaskState);  // beyond the limit: every port access of ring 3 faults
};
static_assert(sizeof(TaskState) == 104);

// A copy of a guest's L4 for the guest to run on (guest_view.h).
struct GuestView {
    Mfn root{};
    uint64_t source_cr3 = 0;
    uint64_t stamp = 0;
};

// What others look at and write to, apart from what the CPU itself uses at each entry.
struct alignas(64) ForOthers {
    std::atomic<uint32_t> requests{0};                                // what they want of this CPU (smp.h)
    std::atomic<Rememberers> translations_of{Rememberers::nobody()};  // an idle CPU holds none
};

struct CpuLocal {
    // Read by the system call stub, at fixed distances from its code.
    uint64_t scratch = 0;
    uint64_t stack_top = 0;       // where the current vCPU's frame begins: just below its StackTop
    uint64_t syscall_target = 0;  // address of the common entry code
    uint64_t syscall32_target = 0;
    // With isolated guests (guest_view.h), else zero: the tables that the hypervisor runs on, with everything
    // in them; the view that the guest runs on; the value of pv::root_changes that it was made at; where the
    // frame of the last iret lies.
    uint64_t hypervisor_cr3 = 0;
    uint64_t guest_cr3 = 0;
    uint64_t view_stamp = 0;
    uint64_t exit_frame = 0;

    CpuId id{};
    uint32_t apic_id = 0;
    Vcpu* current = nullptr;      // null: idle
    Vcpu* last_loaded = nullptr;  // whose registers, FPU and tables the CPU holds; idle leaves them there
    const Domain* predictors_of = nullptr;  // who trained the branch predictors last
    CpuScheduler* scheduler = nullptr;      // with the CPU's timers
    std::atomic<bool> alive{false};         // runs, and takes requests
    // When the CPU last did what others want of it, in epochs of the flush clock.
    std::atomic<FlushEpoch> flushed_at{0};       // everything but global translations
    std::atomic<FlushEpoch> synchronised_at{0};  // global ones too, between two operations
    CpuMask asked;                               // scratch of flush_stale
    ForOthers for_others;
    CpuCounters* counters = nullptr;
    bool reschedule = false;     // seen on the way out of the hypervisor
    bool task_switched = false;  // CR0.TS as it is
    Nanoseconds timer_deadline = kNever;
    int64_t tsc_offset = 0;  // its time stamp counter minus the boot CPU's; zero where guests can't tell
    std::atomic<uint32_t> heartbeat{0};  // watchdog.h
    TaskState task_state;
    uint64_t nmis = 0;
    uint64_t nmis_reported = 0;
    uint64_t nmi_rip = 0;
    uint64_t window_bits = 0;  // mapping windows in use
    uint64_t idle_stack_pointer = 0;
    GuestView views[2];  // of the guest's kernel and of its processes
    GuestView* view_in_use = nullptr;
};

// At the very top of every stack of the hypervisor.
struct StackTop {
    Vcpu* vcpu = nullptr;  // null on an idle stack
    CpuLocal* cpu = nullptr;
};
static_assert(sizeof(StackTop) == 16);

[[nodiscard]] inline StackTop& stack_top_of(uint64_t address_in_stack) {
    return *reinterpret_cast<StackTop*>((address_in_stack | (TORII_STACK_SIZE - 1)) + 1 - sizeof(StackTop));
}
[[nodiscard]] inline StackTop& my_stack_top() {
    uint64_t rsp = 0;
    asm("mov %%rsp, %0" : "=r"(rsp));
    return stack_top_of(rsp);
}
[[nodiscard]] inline CpuLocal& local() {
    return *my_stack_top().cpu;
}
extern FlushClock flush_clock;
// What comes before each flush of the calling CPU: when it was, in epochs of the flush clock.
[[nodiscard]] FlushEpoch begin_flush();
// Loads CR3, which flushes, and notes when: `cpu` is the calling one.
void load_cr3(CpuLocal& cpu, uint64_t cr3);
[[nodiscard]] inline bool holds_translations(const CpuLocal& cpu) {
    return cpu.for_others.translations_of.load() != Rememberers::nobody();
}
[[nodiscard]] SchedUnit& idle_unit_of(CpuId cpu);

[[nodiscard]] inline uint64_t area_of(CpuId cpu) {
    return TORII_PER_CPU_BASE + (uint64_t{cpu.raw()} << TORII_PER_CPU_SHIFT);
}

}  // namespace torii::hw
