#include "arch/x86/hw/apic.h"

#include "arch/x86/hw/clock.h"
#include "arch/x86/hw/cpu.h"
#include "arch/x86/hw/local_apic.h"
#include "arch/x86/hw/paging.h"
#include "arch/x86/hw/registers.h"
#include "base/log.h"
#include "base/once.h"
#include "core/memory/io_frames.h"

namespace torii::hw {
namespace {

struct CpuAccess {
    volatile uint32_t* registers = nullptr;
    uint32_t read_memory(unsigned offset) const { return registers[offset / 4]; }
    void write_memory(unsigned offset, uint32_t value) const { registers[offset / 4] = value; }
    static uint64_t read_msr(uint32_t msr) { return hw::read_msr(msr); }
    static void write_msr(uint32_t msr, uint64_t value) { hw::write_msr(msr, value); }
    static void fence() { asm volatile("mfence; lfence" : : : "memory"); }
};

using Apic = LocalApic<CpuAccess>;
constexpr ApicVectors kVectors{kVectorTimer, kVectorSpurious};
constinit Apic apic;
constexpr uint64_t kSecond = 1'000'000'000;
constinit uint64_t timer_per_second = 0;
constinit uint64_t ticks_per_nanosecond =
    0;  // of the timer or the TSC; times 2^32, rounded up so that no interrupt comes early

// The 8259s are remapped out of the way and masked.
void silence_legacy_controllers() {
    for (const uint16_t base : {0x20, 0xa0}) {
        out8(base, 0x11);
        out8(base + 1, base == 0x20 ? 0x20 : 0x28);
        out8(base + 1, base == 0x20 ? 4 : 2);
        out8(base + 1, 1);
        out8(base + 1, 0xff);
    }
}

// Timer ticks against the TSC, whose frequency is known by now.
uint64_t measure_timer() {
    const uint64_t ticks_wanted = tsc_khz() * 5;  // 5 ms
    apic.set_count(~0u);
    const uint64_t start = read_tsc();
    while (read_tsc() - start < ticks_wanted) {
    }
    const uint32_t left = apic.current_count();
    const uint64_t elapsed = read_tsc() - start;
    apic.set_count(0);
    return (~0u - left) * tsc_khz() / elapsed * 1000;
}

}  // namespace

void apic_start() {
    silence_legacy_controllers();
    const MachineAddr base(read_msr(kMsrApicBase) & 0xffffff000);
    reserve_io_frame(frame_of(base));
    apic = Apic({static_cast<volatile uint32_t*>(map_device(base, kPageSize))});
    apic.choose(features.x2apic, features.tsc_deadline);
    apic_enable_this_cpu();
    timer_per_second = apic.uses_deadline() ? tsc_khz() * 1000 : measure_timer();
    ticks_per_nanosecond = ((timer_per_second << 32) / kSecond) + 1;
    log(LogLevel::kInfo, "TSC {} kHz, {}, timer {} {} kHz", tsc_khz(), apic.is_x2apic() ? "x2APIC" : "xAPIC",
        apic.uses_deadline() ? "by TSC deadline," : "of the local APIC,", timer_per_second / 1000);
}

void apic_enable_this_cpu() {
    apic.enable(kVectors);
}

void apic_end_of_interrupt() {
    apic.end_of_interrupt();
}

void apic_set_timer(Nanoseconds delay) {
    if (delay == 0) {
        apic.uses_deadline() ? apic.set_deadline(0) : apic.set_count(0);
        return;
    }
    const auto ticks = static_cast<unsigned __int128>(delay) * ticks_per_nanosecond >> 32;
    if (apic.uses_deadline()) {
        apic.set_deadline(read_tsc() + static_cast<uint64_t>(ticks) + 1);
        return;
    }
    // A far deadline takes several rounds: the counter has 32 bits.
    apic.set_count(ticks >= 0xffffffffu ? 0xffffffffu : static_cast<uint32_t>(ticks) + 1);
}

bool apic_reaches(uint32_t target) {
    return apic.reaches(target);
}
void apic_send(uint32_t target, unsigned vector) {
    apic.send(target, vector);
}
void apic_send_nmi(uint32_t target) {
    apic.send(target, Apic::kDeliverNmi | Apic::kAssert);
}
void apic_send_init(uint32_t target) {
    apic.send(target, Apic::kDeliverInit | Apic::kAssert);
}
void apic_send_startup(uint32_t target, unsigned page) {
    apic.send(target, Apic::kDeliverStartup | Apic::kAssert | page);
}

uint32_t apic_id() {
    return apic.id();
}

}  // namespace torii::hw
