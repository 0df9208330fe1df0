#include "arch/x86/hw/apic.h"

#include "arch/x86/hw/acpi.h"
#include "arch/x86/hw/clock.h"
#include "arch/x86/hw/paging.h"
#include "arch/x86/hw/registers.h"
#include "arch/x86/pv/page_type.h"
#include "base/log.h"
#include "base/once.h"

namespace torii::hw {
namespace {

// Register offsets: Intel SDM vol. 3, section 11.4.1.
constexpr unsigned kId = 0x20, kTaskPriority = 0x80, kEndOfInterrupt = 0xb0, kSpurious = 0xf0,
                   kCommandLow = 0x300, kCommandHigh = 0x310, kTimer = 0x320, kThermal = 0x330,
                   kPerformance = 0x340, kLint0 = 0x350, kLint1 = 0x360, kError = 0x370,
                   kInitialCount = 0x380, kCurrentCount = 0x390, kDivide = 0x3e0;
constexpr uint32_t kMasked = 1u << 16;
constexpr uint32_t kDivideBy1 = 0xb;
constexpr uint32_t kDeliverNmi = 4u << 8, kDeliverInit = 5u << 8, kDeliverStartup = 6u << 8;
constexpr uint32_t kDeliveryPending = 1u << 12, kAssert = 1u << 14;

constinit volatile uint32_t* registers = nullptr;
constexpr uint64_t kSecond = 1'000'000'000;
constinit uint64_t timer_per_second = 0;
constinit uint64_t ticks_per_nanosecond = 0;  // times 2^32, rounded up so that no interrupt comes early

uint32_t read(unsigned offset) {
    return registers[offset / 4];
}
void write(unsigned offset, uint32_t value) {
    registers[offset / 4] = value;
}

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
void measure_timer() {
    write(kDivide, kDivideBy1);
    write(kTimer, kMasked | kVectorTimer);
    const uint64_t ticks_wanted = tsc_khz() * 5;  // 5 ms
    write(kInitialCount, ~0u);
    const uint64_t start = read_tsc();
    while (read_tsc() - start < ticks_wanted) {
    }
    const uint32_t left = read(kCurrentCount);
    const uint64_t elapsed = read_tsc() - start;
    write(kTimer, kVectorTimer);
    write(kInitialCount, 0);
    timer_per_second = (~0u - left) * tsc_khz() / elapsed * 1000;
    ticks_per_nanosecond = ((timer_per_second << 32) / kSecond) + 1;
}

}  // namespace

void apic_start() {
    silence_legacy_controllers();
    const MachineAddr base(read_msr(kMsrApicBase) & 0xffffff000);
    registers = static_cast<volatile uint32_t*>(map_device(base, kPageSize));
    pv::reserve_io_frame(frame_of(base));
    apic_enable_this_cpu();
    measure_timer();
    log(LogLevel::kInfo, "TSC {} kHz, local APIC timer {} kHz", tsc_khz(), timer_per_second / 1000);
}

void apic_enable_this_cpu() {
    write_msr(kMsrApicBase, read_msr(kMsrApicBase) | (1u << 11));
    write(kTaskPriority, 0);
    write(kLint0, kMasked);
    write(kLint1, kDeliverNmi);
    write(kThermal, kMasked);
    write(kPerformance, kMasked);
    write(kError, kMasked);
    write(kSpurious, 0x100 | kVectorSpurious);
    write(kDivide, kDivideBy1);
    write(kTimer, kVectorTimer);
}

void apic_end_of_interrupt() {
    write(kEndOfInterrupt, 0);
}

void apic_set_timer(Nanoseconds delay) {
    if (delay == 0) {
        write(kInitialCount, 0);
        return;
    }
    // A far deadline takes several rounds: the counter has 32 bits.
    const auto ticks = static_cast<unsigned __int128>(delay) * ticks_per_nanosecond >> 32;
    write(kInitialCount, ticks >= 0xffffffffu ? 0xffffffffu : static_cast<uint32_t>(ticks) + 1);
}

namespace {

void send_command(uint32_t target, uint32_t command) {
    while ((read(kCommandLow) & kDeliveryPending) != 0) {
    }
    write(kCommandHigh, target << 24);
    write(kCommandLow, command);
}

}  // namespace

void apic_send(uint32_t target, unsigned vector) {
    send_command(target, vector);
}
void apic_send_nmi(uint32_t target) {
    send_command(target, kDeliverNmi | kAssert);
}
void apic_send_init(uint32_t target) {
    send_command(target, kDeliverInit | kAssert);
}
void apic_send_startup(uint32_t target, unsigned page) {
    send_command(target, kDeliverStartup | kAssert | page);
}

uint32_t apic_id() {
    return read(kId) >> 24;
}

void route_isa_interrupt(unsigned irq, unsigned vector) {
    const InterruptRoute route = find_isa_route(irq);
    if (route.io_apic.raw() == 0) {
        log(LogLevel::kWarning, "no IO-APIC serves interrupt {}: the serial console takes no input", irq);
        return;
    }
    auto* const io = static_cast<volatile uint32_t*>(map_device(route.io_apic, kPageSize));
    const auto write_entry = [io](unsigned index, uint32_t value) {
        io[0] = index;
        io[4] = value;
    };
    const uint32_t mode = (route.active_low ? 1u << 13 : 0) | (route.level ? 1u << 15 : 0);
    write_entry(0x10 + 2 * route.pin + 1, apic_id() << 24);
    write_entry(0x10 + 2 * route.pin, vector | mode);
}

}  // namespace torii::hw
