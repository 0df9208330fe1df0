#include "arch/x86/hw/smp.h"

#include <cstring>

#include "arch/x86/hw/acpi.h"
#include "arch/x86/hw/apic.h"
#include "arch/x86/hw/cpu.h"
#include "arch/x86/hw/guest_view.h"
#include "arch/x86/hw/idle.h"
#include "arch/x86/hw/layout.h"
#include "arch/x86/hw/paging.h"
#include "arch/x86/hw/power.h"
#include "arch/x86/hw/registers.h"
#include "arch/x86/hw/speculation.h"
#include "base/log.h"
#include "core/call/counters.h"
#include "core/memory/heap.h"
#include "core/sched/scheduler.h"
#include "port/frames.h"
#include "port/machine.h"

extern "C" {
extern char ap_trampoline[], ap_trampoline_end[];
extern char ap_root[], ap_stack[], ap_efer[];  // words in it
}

namespace torii {

namespace {

constinit std::atomic<unsigned> running_cpus{1};

}  // namespace

unsigned cpu_count() {
    return running_cpus.load(std::memory_order_relaxed);
}

namespace hw {
namespace {

constexpr Nanoseconds kMillisecond = 1'000'000;
constexpr Nanoseconds kStartLimit = 1000 * kMillisecond;

constinit std::atomic<bool> stopping{false};
constinit std::atomic<uint64_t> globals_wanted{0};  // CPUs that have yet to drop global translations

void wait(Nanoseconds duration) {
    const Nanoseconds end = now() + duration;
    while (now() < end)
        asm volatile("pause");
}

bool came_up(CpuId cpu, Nanoseconds limit) {
    const Nanoseconds end = now() + limit;
    while (now() < end) {
        if (local_of(cpu).alive.load(std::memory_order_acquire)) return true;
        asm volatile("pause");
    }
    return false;
}

// Sets a word of the start-up code that is in place.
void set_trampoline_word(const char* word, uint64_t value) {
    const MachineAddr at(TORII_TRAMPOLINE + static_cast<uint64_t>(word - ap_trampoline));
    memcpy(static_cast<char*>(direct_address(frame_of(at))) + offset_in_page(at), &value, sizeof(value));
}

// What the CPU needs before it runs: its area, its counters, its run queue.
void prepare(CpuId cpu) {
    build_cpu_area(cpu);
    Result<CpuCounters*> counters = heap_new<CpuCounters>();
    if (!counters.ok()) BUG("no memory for the counters of a CPU");
    cpu_counters[cpu.raw()] = counters.value();
    prepare_scheduler(cpu);
    const uint64_t stack = area_of(cpu) + TORII_AREA_IDLE_STACK + TORII_STACK_SIZE - sizeof(StackTop);
    *reinterpret_cast<StackTop*>(stack) = {nullptr, &local_of(cpu)};
    local_of(cpu).id = cpu;
    set_trampoline_word(ap_stack, stack);
}

// Intel SDM vol. 3, section 9.4.4: INIT, then two start-up interrupts.
bool start(CpuId cpu, uint32_t apic) {
    prepare(cpu);
    apic_send_init(apic);
    wait(10 * kMillisecond);
    apic_send_startup(apic, TORII_TRAMPOLINE >> kPageShift);
    if (came_up(cpu, kMillisecond)) return true;
    apic_send_startup(apic, TORII_TRAMPOLINE >> kPageShift);
    return came_up(cpu, kStartLimit);
}

// Puts the start-up code below 1 MiB for as long as it is needed there.
class Trampoline {
public:
    Trampoline() {
        BUG_ON(bytes() > sizeof(saved_));
        memcpy(saved_, place(), bytes());
        memcpy(place(), ap_trampoline, bytes());
    }
    Trampoline(const Trampoline&) = delete;
    ~Trampoline() { memcpy(place(), saved_, bytes()); }

private:
    static void* place() { return direct_address(frame_of(MachineAddr(TORII_TRAMPOLINE))); }
    static size_t bytes() { return static_cast<size_t>(ap_trampoline_end - ap_trampoline); }
    unsigned char saved_[512];
};

}  // namespace

CpuLocal& local_of(CpuId cpu) {
    return *reinterpret_cast<CpuLocal*>(area_of(cpu) + TORII_AREA_LOCAL);
}

void start_other_cpus(uint32_t most) {
    local().apic_id = apic_id();
    local().alive.store(true, std::memory_order_relaxed);
    const Trampoline trampoline;
    set_trampoline_word(ap_root, address_of(hypervisor_root).raw());
    set_trampoline_word(ap_efer, read_msr(kMsrEfer) & ~kEferLongActive);
    constexpr unsigned kMostStarted = 64;
    uint32_t apics[kMostStarted];
    const unsigned found = find_processors(apics);
    for (unsigned i = 0; i < found; ++i) {
        const unsigned running = cpu_count();
        constexpr uint32_t kMostOfXapic = 255;
        if (apics[i] == local().apic_id || apics[i] >= kMostOfXapic || running >= most) continue;
        if (!start(CpuId(running), apics[i])) {
            // It may still come, and would find its area and its stack in use by the next one.
            log(LogLevel::kWarning, "the CPU with APIC id {} did not start; no further one is tried",
                apics[i]);
            break;
        }
        running_cpus.store(running + 1, std::memory_order_relaxed);
        sched_cpu_is_up(CpuId(running));
    }
    log(LogLevel::kInfo, "{} CPUs run", cpu_count());
}

extern "C" [[noreturn]] void ap_main() {
    const CpuId cpu = local().id;
    set_up_cpu(cpu);
    CpuLocal& me = local();
    me.id = cpu;
    me.apic_id = apic_id();
    note_flush(me);
    if (speculation.isolate_guests) build_guest_views(cpu);
    apic_enable_this_cpu();
    me.alive.store(true, std::memory_order_release);
    idle();
}

void serve_flush_request() {
    CpuLocal& me = local();
    if (!me.flush_wanted.load(std::memory_order_acquire)) return;
    me.flush_wanted.store(false, std::memory_order_relaxed);
    const uint64_t mine = uint64_t{1} << me.id.raw();
    if ((globals_wanted.load(std::memory_order_relaxed) & mine) != 0) {
        write_cr4(read_cr4() & ~kCr4Pge);
        write_cr4(read_cr4() | kCr4Pge);
        globals_wanted.fetch_and(~mine, std::memory_order_release);
    }
    write_cr3(read_cr3());
    note_flush(me);
}

void flush_globals_everywhere() {
    const unsigned count = cpu_count();
    const uint64_t all = count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
    const uint64_t others = all & ~(uint64_t{1} << local().id.raw());
    write_cr4(read_cr4() & ~kCr4Pge);
    write_cr4(read_cr4() | kCr4Pge);
    globals_wanted.fetch_or(others, std::memory_order_release);
    flush_tlb(others);
    while ((globals_wanted.load(std::memory_order_acquire) & others) != 0)
        serve_while_waiting();
}

void stop_other_cpus() {
    if (cpu_count() == 1 || stopping.exchange(true)) return;
    for (unsigned cpu = 0; cpu < cpu_count(); ++cpu) {
        if (CpuId(cpu) != local().id) apic_send_nmi(local_of(CpuId(cpu)).apic_id);
    }
}

void halt_if_stopping() {
    if (stopping.load(std::memory_order_relaxed)) halt_for_ever();
}

}  // namespace hw
}  // namespace torii
