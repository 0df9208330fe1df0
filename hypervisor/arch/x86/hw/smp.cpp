#include "arch/x86/hw/smp.h"

#include <cstring>
#include <new>

#include "arch/x86/hw/acpi.h"
#include "arch/x86/hw/apic.h"
#include "arch/x86/hw/cpu.h"
#include "arch/x86/hw/crash.h"
#include "arch/x86/hw/guest_view.h"
#include "arch/x86/hw/idle.h"
#include "arch/x86/hw/layout.h"
#include "arch/x86/hw/paging.h"
#include "arch/x86/hw/power.h"
#include "arch/x86/hw/registers.h"
#include "arch/x86/hw/speculation.h"
#include "arch/x86/hw/watchdog.h"
#include "base/clock_offset.h"
#include "base/log.h"
#include "core/call/counters.h"
#include "core/call/platform_hooks.h"
#include "core/domain/domain.h"
#include "core/domain/time.h"
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

constinit std::atomic<unsigned> running{1};
constinit CpuMask running_mask;
constinit std::atomic<bool> all_started{false};  // how many CPUs there are is known

}  // namespace

unsigned cpu_count() {
    return running.load(std::memory_order_relaxed);
}
const CpuMask& running_cpus() {
    return running_mask;
}

namespace hw {
namespace {

constexpr Nanoseconds kMillisecond = 1'000'000;
constexpr Nanoseconds kStartLimit = 1000 * kMillisecond;

constexpr Nanoseconds kSpeakingTime = 3000 * kMillisecond;

// The end: which CPU stopped the others, and which of those is to say where it was.
constexpr uint32_t kNobody = ~0u;
constinit std::atomic<uint32_t> stopped_by{kNobody};
constinit std::atomic<uint32_t> speaker{kNobody};

constinit ClockExchange clock_exchange;

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

void flush_own_globals() {
    write_cr4(read_cr4() & ~kCr4Pge);
    write_cr4(read_cr4() | kCr4Pge);
}

// Sets a word of the start-up code that is in place.
void set_trampoline_word(const char* word, uint64_t value) {
    const MachineAddr at(TORII_TRAMPOLINE + static_cast<uint64_t>(word - ap_trampoline));
    memcpy(static_cast<char*>(direct_address(frame_of(at))) + offset_in_page(at), &value, sizeof(value));
}

// What the CPU needs before it runs: its area, its counters, its run queue, a stack.
void prepare(CpuId cpu, uint32_t apic) {
    build_cpu_area(cpu);
    Result<CpuCounters*> counters = heap_new<CpuCounters>();
    if (!counters.ok()) BUG("no memory for the counters of a CPU");
    CpuLocal& its = *new (&local_of(cpu)) CpuLocal;
    its.id = cpu;
    its.apic_id = apic;
    its.counters = counters.value();
    prepare_scheduler(cpu);
    const uint64_t stack = area_of(cpu) + TORII_AREA_IDLE_STACK + TORII_STACK_SIZE - sizeof(StackTop);
    *reinterpret_cast<StackTop*>(stack) = {nullptr, &its};
    set_trampoline_word(ap_stack, stack);
}

// Not before the loads ahead of it, nor after the stores behind it.
uint64_t read_tsc_in_order() {
    asm volatile("lfence" : : : "memory");
    const uint64_t tsc = read_tsc();
    asm volatile("lfence" : : : "memory");
    return tsc;
}

// Whether the new CPU's time stamp counter is that of this one. If it isn't, guests don't rely on it any
// more.
void compare_clocks(CpuId cpu) {
    const ClockOffset offset = clock_exchange.ask(read_tsc_in_order);
    if (offset.is_none()) return;
    local_of(cpu).tsc_offset = offset.ticks();
    clock_scale.stable = false;
    log(LogLevel::kWarning,
        "the time stamp counter of CPU {} is {} ticks {} that of CPU 0{}; guests are told so", cpu,
        static_cast<uint64_t>(offset.ticks() < 0 ? -offset.ticks() : offset.ticks()),
        offset.ticks() < 0 ? "behind" : "ahead of", offset.is_steady() ? "" : ", and the distance changes");
}

// Intel SDM vol. 3, section 9.4.4: INIT, then two start-up interrupts.
bool start(CpuId cpu, uint32_t apic) {
    prepare(cpu, apic);
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
    local().alive.store(true, std::memory_order_relaxed);
    running_mask.add(local().id);
    const Trampoline trampoline;
    set_trampoline_word(ap_root, address_of(hypervisor_root).raw());
    set_trampoline_word(ap_efer, read_msr(kMsrEfer) & ~kEferLongActive);
    const unsigned found = count_processors();
    cover_cpus(found < most ? found : most);
    for (unsigned i = 0; i < found && cpu_count() < most; ++i) {
        const uint32_t apic = processor_apic_id(i);
        if (apic == local().apic_id) continue;
        if (!apic_reaches(apic)) {
            log(LogLevel::kWarning,
                "the CPU with APIC id {} is left alone: without x2APIC it can't be reached", apic);
            continue;
        }
        const CpuId cpu(cpu_count());
        if (!start(cpu, apic)) {
            // It may still come, and would find its area and its stack in use by the next one.
            log(LogLevel::kWarning, "the CPU with APIC id {} did not start; no further one is tried", apic);
            break;
        }
        compare_clocks(cpu);
        running_mask.add(cpu);
        running.store(cpu.raw() + 1, std::memory_order_relaxed);
        sched_cpu_is_up(cpu);
    }
    log(LogLevel::kInfo, "{} CPUs run; threads of a core: {}, cores of a package: {}", cpu_count(),
        platform.threads_per_core, platform.cores_per_socket);
    all_started.store(true, std::memory_order_release);
}

extern "C" [[noreturn]] void ap_main() {
    const CpuId cpu = local().id;
    set_up_cpu(cpu);
    CpuLocal& me = local();
    if (speculation.isolate_guests) build_guest_views(cpu);
    apic_enable_this_cpu();
    me.alive.store(true, std::memory_order_release);
    clock_exchange.answer(read_tsc_in_order);
    while (!all_started.load(std::memory_order_acquire))
        serve_while_waiting();
    start_watchdog();
    idle();
}

void serve_requests() {
    CpuLocal& me = local();
    const uint32_t requests = me.for_others.requests.load(std::memory_order_relaxed);
    if (requests == 0) return;
    me.for_others.requests.fetch_and(~requests);
    // Before anything is dropped; what was asked for later is asked for again.
    if ((requests & kRequestSynchronise) != 0) {
        const FlushEpoch epoch = begin_flush();
        flush_own_globals();
        me.synchronised_at.store(epoch, std::memory_order_release);
    }
    load_cr3(me, read_cr3());
}

void ask(CpuLocal& cpu, uint32_t request) {
    if ((cpu.for_others.requests.load(std::memory_order_relaxed) & request) != 0) return;
    // Nothing to send when another request is on its way already.
    if (cpu.for_others.requests.fetch_or(request) == 0) apic_send(cpu.apic_id, kVectorRequest);
}

namespace {

bool has_done(const CpuLocal& cpu, uint32_t request, FlushEpoch since) {
    const std::atomic<FlushEpoch>& done = request == kRequestFlush ? cpu.flushed_at : cpu.synchronised_at;
    return FlushClock::is_after(done.load(std::memory_order_acquire), since) ||
           (request == kRequestFlush && !holds_translations(cpu));
}

}  // namespace

void request_of(const CpuMask& cpus, uint32_t request) {
    const CpuLocal& me = local();
    const FlushEpoch since = flush_clock.take_stamp();
    cpus.for_each([&](CpuId id) {
        CpuLocal& cpu = local_of(id);
        if (&cpu != &me && !has_done(cpu, request, since)) ask(cpu, request);
    });
    cpus.for_each([&](CpuId id) {
        CpuLocal& cpu = local_of(id);
        if (&cpu == &me) return;
        while (!has_done(cpu, request, since)) {
            // It may have begun to serve an earlier request just before this one came.
            ask(cpu, request);
            serve_while_waiting();
        }
    });
}

void flush_globals_everywhere() {
    flush_own_globals();
    if (cpu_count() != 1) request_of(running_mask, kRequestSynchronise);
}

void stop_other_cpus() {
    const uint32_t me = local().id.raw();
    uint32_t nobody = kNobody;
    if (!stopped_by.compare_exchange_strong(nobody, me)) {
        if (nobody == me) return;
        halt_for_ever();
    }
    running_mask.for_each([me](CpuId cpu) {
        if (cpu.raw() != me) apic_send_nmi(local_of(cpu).apic_id);
    });
}

void report_other_cpus() {
    running_mask.for_each([](CpuId cpu) {
        if (cpu == local().id) return;
        speaker.store(cpu.raw());
        const Nanoseconds end = now() + kSpeakingTime;
        while (speaker.load() != kNobody && now() < end)
            asm volatile("pause");
        if (speaker.exchange(kNobody) != kNobody) log(LogLevel::kError, "CPU {} does not answer", cpu);
    });
}

void halt_if_stopping(const pv::GuestRegisters& registers) {
    if (stopped_by.load() == kNobody) return;
    const CpuLocal& me = local();
    while (speaker.load() != me.id.raw())
        asm volatile("pause");
    const bool in_guest = (registers.cs & 3) != 0;
    if (me.current == nullptr) {
        log(LogLevel::kError, "CPU {} was idle, at {x}", me.id, registers.rip);
    } else {
        log(LogLevel::kError, "CPU {} ran d{}v{}, {} at {x}", me.id, me.current->domain->id, me.current->id,
            in_guest ? "in the guest" : "in the hypervisor", registers.rip);
    }
    if (!in_guest) print_backtrace(registers.rip, registers.rbp);
    speaker.store(kNobody);
    halt_for_ever();
}

}  // namespace hw
}  // namespace torii
