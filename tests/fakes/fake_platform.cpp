#include "fakes/fake_platform.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/once.h"
#include "base/panic.h"
#include "core/call/guest_ptr.h"
#include "core/domain/domain.h"
#include "core/domain/time.h"
#include "fakes/fake_machine.h"
#include "fakes/fake_tlb.h"
#include "port/context.h"
#include "port/guest_memory.h"
#include "port/machine.h"
#include "port/platform.h"

namespace torii {

constinit ClockScale clock_scale =
    make_clock_scale(1'000'000'000, 0);  // one tick of read_timestamp is a nanosecond

namespace fakes {
namespace {

struct Range {
    uint64_t start = 0;
    uint64_t bytes = 0;
    FaultingRange::Kind kind = FaultingRange::Kind::kAll;
};
thread_local Range faulting;
CpuScheduler* schedulers[kFakeCpus];
thread_local CpuRegisters registers_of_cpu;

bool faults(uint64_t address, size_t bytes, bool write) {
    BUG_ON(!guest_range_ok(address, bytes));  // callers check, or the machine would be at a guest's mercy
    if (faulting.kind == FaultingRange::Kind::kWrites && !write) return false;
    return address < faulting.start + faulting.bytes && faulting.start < address + bytes;
}

// The guest's end may be in use by others at the same time.
template <class Word>
void copy_words(void* to, const void* from, size_t bytes) {
    for (size_t i = 0; i < bytes / sizeof(Word); ++i)
        write_once(static_cast<Word*>(to)[i], read_once(static_cast<const Word*>(from)[i]));
}
void copy_word_by_word(void* to, const void* from, size_t bytes) {
    const uint64_t places = reinterpret_cast<uint64_t>(to) | reinterpret_cast<uint64_t>(from) | bytes;
    if (places % sizeof(uint64_t) == 0) return copy_words<uint64_t>(to, from, bytes);
    if (places % sizeof(uint32_t) == 0) return copy_words<uint32_t>(to, from, bytes);
    copy_words<uint8_t>(to, from, bytes);
}

}  // namespace

FaultingRange::FaultingRange(const void* start, size_t bytes, Kind kind) {
    faulting = {reinterpret_cast<uint64_t>(start), bytes, kind};
}
FaultingRange::~FaultingRange() {
    faulting = {};
}

void start_platform() {
    static const bool started = [] {
        for (unsigned cpu = 0; cpu < cpu_count(); ++cpu) {
            schedulers[cpu] = new CpuScheduler(CpuId(cpu), CpuPlace{cpu, 0});
            schedulers[cpu]->queue.start(*new SchedUnit, now());
            sched_cpu_is_up(CpuId(cpu));
        }
        return true;
    }();
    (void)started;
}

CpuRegisters& cpu_registers() {
    return registers_of_cpu;
}

}  // namespace fakes

using namespace fakes;  // NOLINT: the definitions below are the fakes

CpuScheduler& cpu_scheduler(CpuId cpu) {
    return *schedulers[cpu.raw()];
}
CpuScheduler& this_cpu_scheduler() {
    return *schedulers[this_cpu().raw()];
}

// --- guest memory ---

bool copy_from_guest(void* to, uint64_t from, size_t bytes) {
    if (faults(from, bytes, false) || (from < kPageSize && bytes != 0)) return false;
    copy_word_by_word(to, reinterpret_cast<const void*>(from), bytes);
    return true;
}
bool copy_to_guest(uint64_t to, const void* from, size_t bytes) {
    if (faults(to, bytes, true) || (to < kPageSize && bytes != 0)) return false;
    copy_word_by_word(reinterpret_cast<void*>(to), from, bytes);
    return true;
}
bool exchange_in_guest(uint64_t address, uint64_t expected, uint64_t desired, uint64_t& seen) {
    if (faults(address, sizeof(uint64_t), true)) return false;
    auto* const place = reinterpret_cast<uint64_t*>(address);
    seen = expected;
    __atomic_compare_exchange_n(place, &seen, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return true;
}

// --- the CPU of the current vCPU ---

void load_address_space(const Vcpu& vcpu) {
    if (current_vcpu() != &vcpu) return;
    flush_this_cpu();
}
void load_gdt(const Vcpu&) {}
void load_ldt(const Vcpu&) {}
void map_ldt_page(unsigned, Mfn) {}
void write_fs_base(uint64_t base) {
    registers_of_cpu.fs_base = base;
}
void write_active_gs_base(uint64_t base) {
    registers_of_cpu.active_gs_base = base;
}
void write_inactive_gs_base(uint64_t base) {
    registers_of_cpu.inactive_gs_base = base;
}
bool load_inactive_gs_selector(uint16_t) {
    return true;
}
void swap_gs_bases() {
    std::swap(registers_of_cpu.active_gs_base, registers_of_cpu.inactive_gs_base);
}
void set_task_switched(bool on) {
    registers_of_cpu.task_switched = on;
}
void write_debug_register(unsigned, uint64_t) {}
uint64_t take_debug_status() {
    return 0;
}
void write_tsc_aux(uint32_t) {}
void flush_caches() {}
void write_guest_xcr0(uint64_t value) {
    registers_of_cpu.xcr0 = value;
}
uint64_t read_timestamp() {
    return machine().time();
}
bool read_machine_msr(uint32_t, uint64_t&) {
    return false;
}
bool write_machine_msr(uint32_t, uint64_t) {
    return false;
}
LiveBases read_segment_bases() {
    return {registers_of_cpu.fs_base, registers_of_cpu.active_gs_base, registers_of_cpu.inactive_gs_base};
}
void load_guest_cr4(uint64_t guest_cr4) {
    registers_of_cpu.cr4 = guest_cr4;
}
uint32_t read_port(uint16_t, unsigned) {
    return ~uint32_t{0};
}
void write_port(uint16_t, unsigned, uint32_t) {}

// --- life of vCPUs ---

Result<> create_vcpu_platform(Vcpu& vcpu) {
    vcpu.pv.registers = new pv::GuestRegisters{};
    return {};
}
SchedUnit& idle_unit() {
    return this_cpu_scheduler().queue.idle();
}
void poke(Vcpu&) {}
void shut_down_machine(uint32_t code) {
    std::exit(static_cast<int>(code));
}

}  // namespace torii
