// port/machine.h on the metal: CPUs, translations, the end.
#include "port/machine.h"

#include <torii/abi/sched.h>

#include "arch/x86/hw/acpi.h"
#include "arch/x86/hw/apic.h"
#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/options.h"
#include "arch/x86/hw/power.h"
#include "arch/x86/hw/registers.h"
#include "arch/x86/hw/screen.h"
#include "arch/x86/hw/serial.h"
#include "arch/x86/hw/smp.h"
#include "base/lock.h"
#include "base/log.h"
#include "core/console/console.h"
#include "core/sched/scheduler.h"
#include "port/guest_memory.h"
#include "port/platform.h"

namespace torii {

using hw::CpuLocal;
using hw::local;

extern "C" {
size_t copy_with_faults(void* to, const void* from, size_t bytes);
uint64_t exchange_with_faults(uint64_t* place, uint64_t expected, uint64_t desired, bool* faulted);
bool read_msr_with_faults(uint32_t msr, uint64_t* value);
}

namespace hw {

constinit FlushClock flush_clock;

namespace {

// One CPU in some hundred million epochs comes here: nobody is waited for.
[[gnu::cold]] void remind_all_cpus() {
    running_cpus().for_each([](CpuId cpu) {
        if (cpu != local().id && holds_translations(local_of(cpu))) ask(local_of(cpu), kRequestFlush);
    });
}

}  // namespace

FlushEpoch begin_flush() {
    bool all_must_flush = false;
    const FlushEpoch epoch = flush_clock.begin_flush(all_must_flush);
    if (all_must_flush) [[unlikely]]
        remind_all_cpus();
    return epoch;
}

void load_cr3(CpuLocal& cpu, uint64_t cr3) {
    const FlushEpoch epoch = begin_flush();
    write_cr3(cr3);
    cpu.flushed_at.store(epoch, std::memory_order_release);
}

}  // namespace hw

CpuId this_cpu() {
    return local().id;
}
Vcpu* current_vcpu() {
    return hw::my_stack_top().vcpu;
}

void request_reschedule(CpuId cpu) {
    CpuLocal& me = local();
    if (cpu != me.id) {
        hw::apic_send(hw::local_of(cpu).apic_id, hw::kVectorPoke);
        return;
    }
    me.reschedule = true;
    if (me.current != nullptr)
        __atomic_fetch_or(&me.current->entry.exit_work, kWorkReschedule, __ATOMIC_RELAXED);
}

void set_cpu_timer(CpuId cpu, Nanoseconds deadline) {
    BUG_ON(cpu != this_cpu());
    local().timer_deadline = deadline;
    if (deadline == kNever) {
        hw::apic_set_timer(0);
        return;
    }
    const Nanoseconds time = now();
    hw::apic_set_timer(deadline > time ? deadline - time : 1);
}

CpuCounters& counters() {
    return *local().counters;
}
CpuCounters& counters_of(CpuId cpu) {
    return *hw::local_of(cpu).counters;
}

FlushEpoch take_flush_stamp() {
    return hw::flush_clock.take_stamp();
}

void flush_this_cpu() {
    hw::load_cr3(local(), hw::read_cr3());
}
void flush_page_on_this_cpu(GuestVa page) {
    hw::invalidate_page(page.raw());
}

namespace {

bool remembers(const CpuLocal& cpu, FlushEpoch stamp, Rememberers whose) {
    return cpu.for_others.translations_of.load().may_share(whose) &&
           !FlushClock::is_after(cpu.flushed_at.load(std::memory_order_acquire), stamp);
}

[[gnu::noinline]] void flush_stale_elsewhere(FlushEpoch stamp, Rememberers whose) {
    CpuLocal& me = local();
    CpuMask& remembering = me.asked;
    bool any = false;
    running_cpus().for_each([&](CpuId id) {
        const CpuLocal& cpu = hw::local_of(id);
        if (&cpu == &me || !remembers(cpu, stamp, whose)) return;
        if (!any) remembering.clear();
        any = true;
        remembering.add(id);
    });
    if (any) hw::request_of(remembering, hw::kRequestFlush);
}

}  // namespace

void flush_stale(FlushEpoch stamp, Rememberers whose) {
    if (whose == Rememberers::nobody()) return;
    if (remembers(local(), stamp, whose)) flush_this_cpu();
    if (cpu_count() != 1) [[unlikely]]
        flush_stale_elsewhere(stamp, whose);
}

void flush_tlb(const CpuMask& cpus) {
    const CpuId me = this_cpu();
    if (cpus.has_others_than(me)) [[unlikely]]
        hw::request_of(cpus, hw::kRequestFlush);
    if (cpus.contains(me)) flush_this_cpu();
}

void flush_tlb_page(const CpuMask& cpus, GuestVa page) {
    const CpuId me = this_cpu();
    if (cpus.has_others_than(me)) [[unlikely]]
        hw::request_of(cpus, hw::kRequestFlush);
    if (cpus.contains(me)) flush_page_on_this_cpu(page);
}

void wait_for_all_cpus() {
    hw::request_of(running_cpus(), hw::kRequestSynchronise);
}

void console_device_write(std::string_view text) {
    hw::serial_write(text);
    hw::screen_write(text);
}

void serve_while_waiting() {
    hw::serve_requests();
    asm volatile("pause");
}

SchedUnit& idle_unit() {
    return hw::idle_unit_of(this_cpu());
}

bool copy_from_guest(void* to, uint64_t from, size_t bytes) {
    return copy_with_faults(to, reinterpret_cast<const void*>(from), bytes) == 0;
}
bool copy_to_guest(uint64_t to, const void* from, size_t bytes) {
    return copy_with_faults(reinterpret_cast<void*>(to), from, bytes) == 0;
}
bool exchange_in_guest(uint64_t address, uint64_t expected, uint64_t desired, uint64_t& seen) {
    bool faulted = false;
    seen = exchange_with_faults(reinterpret_cast<uint64_t*>(address), expected, desired, &faulted);
    return !faulted;
}

bool read_machine_msr(uint32_t index, uint64_t& value) {
    return read_msr_with_faults(index, &value);
}
void shut_down_machine(uint32_t code) {
    const auto reason = static_cast<abi::ShutdownReason>(code);
    const bool halt = reason == abi::ShutdownReason::kPoweroff || hw::options.no_reboot;
    log(LogLevel::kInfo, "dom0 has shut down (code {}): the machine {}", code, halt ? "halts" : "restarts");
    if (halt) hw::halt_for_ever();
    hw::reset_machine();
}

}  // namespace torii
