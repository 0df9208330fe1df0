// port/machine.h on the metal: CPUs, translations, the end.
#include "port/machine.h"

#include <torii/abi/sched.h>

#include "arch/x86/hw/acpi.h"
#include "arch/x86/hw/apic.h"
#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/options.h"
#include "arch/x86/hw/power.h"
#include "arch/x86/hw/registers.h"
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

namespace {

// Counts flushes; a stamp is its value. A CPU that flushed when the clock stood higher has flushed since.
constinit std::atomic<uint32_t> flush_clock{1};

bool flushed_since(const CpuLocal& cpu, uint32_t stamp) {
    return static_cast<int32_t>(cpu.flushed_at.load(std::memory_order_acquire) - stamp) > 0;
}

// Returns when each of the other CPUs in `cpus` has flushed since `stamp`. They are asked all at once, then
// waited for.
[[gnu::noinline]] void flush_others(uint64_t cpus, uint32_t stamp) {
    uint64_t asked = 0;
    for (unsigned i = 0; i < cpu_count(); ++i) {
        if (((cpus >> i) & 1) == 0) continue;
        CpuLocal& cpu = hw::local_of(CpuId(i));
        if (flushed_since(cpu, stamp)) continue;
        asked |= uint64_t{1} << i;
        if (!cpu.flush_wanted.exchange(true, std::memory_order_acq_rel))
            hw::apic_send(cpu.apic_id, hw::kVectorFlush);
    }
    for (; asked != 0; asked &= asked - 1) {
        const CpuLocal& cpu = hw::local_of(CpuId(static_cast<uint32_t>(__builtin_ctzll(asked))));
        while (!flushed_since(cpu, stamp))
            serve_while_waiting();
    }
}

// The CPUs of a mask that run, but this one.
uint64_t others_of(uint64_t cpus) {
    const unsigned count = cpu_count();
    if (count == 1) [[likely]]
        return 0;
    const uint64_t all = count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
    return cpus & all & ~(uint64_t{1} << local().id.raw());
}

void flush_this_cpu() {
    hw::write_cr3(hw::read_cr3());
    hw::note_flush(local());
}

}  // namespace

void hw::note_flush(CpuLocal& cpu) {
    cpu.flushed_at.store(flush_clock.fetch_add(1, std::memory_order_acq_rel) + 1, std::memory_order_release);
}

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

uint32_t take_flush_stamp() {
    return flush_clock.load(std::memory_order_relaxed);
}

void flush_stale(uint32_t stamp, uint64_t cpus) {
    const CpuLocal& me = local();
    if (((cpus >> me.id.raw()) & 1) != 0 && !flushed_since(me, stamp)) flush_this_cpu();
    if (const uint64_t others = others_of(cpus); others != 0) flush_others(others, stamp);
}

void flush_tlb(uint64_t cpus) {
    const uint64_t others = others_of(cpus);
    if (others != 0) [[unlikely]] {
        flush_others(others, take_flush_stamp());
    }
    if (((cpus >> this_cpu().raw()) & 1) != 0) flush_this_cpu();
}

void flush_tlb_page(uint64_t cpus, GuestVa page) {
    const uint64_t others = others_of(cpus);
    if (others != 0) [[unlikely]] {
        flush_others(others, take_flush_stamp());
    }
    if (((cpus >> this_cpu().raw()) & 1) != 0) hw::invalidate_page(page.raw());
}

void console_device_write(std::string_view text) {
    hw::serial_write(text);
}

void serve_while_waiting() {
    hw::serve_flush_request();
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
void panic_at(const char* reason, const char* file, unsigned line) {
    asm volatile("cli");
    hw::stop_other_cpus();
    console_enter_panic();
    log(LogLevel::kError, "PANIC: {} ({}:{})", reason, file, line);
    if (const Vcpu* const vcpu = current_vcpu(); vcpu != nullptr)
        log(LogLevel::kError, "on behalf of d{}v{}, guest rip {x}", vcpu->events.table->id(), vcpu->id,
            vcpu->pv.registers->rip);
    hw::print_backtrace();
    if (hw::options.no_reboot) hw::halt_for_ever();
    hw::reset_machine();
}

void shut_down_machine(uint32_t code) {
    const auto reason = static_cast<abi::ShutdownReason>(code);
    const bool halt = reason == abi::ShutdownReason::kPoweroff || hw::options.no_reboot;
    log(LogLevel::kInfo, "dom0 has shut down (code {}): the machine {}", code, halt ? "halts" : "restarts");
    if (halt) hw::halt_for_ever();
    hw::reset_machine();
}

}  // namespace torii
