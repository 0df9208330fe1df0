#include "arch/x86/hw/power.h"

#include "arch/x86/hw/acpi.h"
#include "arch/x86/hw/layout.h"
#include "arch/x86/hw/registers.h"
#include "base/log.h"

namespace torii::hw {
namespace {

constexpr uint16_t kSleepEnable = 1u << 13;  // ACPI specification 6.4, section 4.8.3.2
constexpr uint32_t kSoftOff = 5;

void pause_for_device() {
    for (unsigned i = 0; i < 100000; ++i)
        asm volatile("pause");
}

}  // namespace

void halt_for_ever() {
    for (;;)
        asm volatile("cli; hlt");
}

void reset_machine() {
    asm volatile("cli");
    const PowerRegisters& registers = power_registers;
    if (registers.reset_port != 0) {
        out8(registers.reset_port, registers.reset_value);
        pause_for_device();
    }
    out8(0xcf9, 0x06);  // the chipset's reset control
    pause_for_device();
    out8(0x64, 0xfe);  // the keyboard controller's reset line
    pause_for_device();
    const struct [[gnu::packed]] {
        uint16_t limit = 0;
        uint64_t base = 0;
    } nothing;
    asm volatile("lidt %0; int3" : : "m"(nothing));
    halt_for_ever();
}

Result<> enter_sleep(const SleepRequest& request) {
    const PowerRegisters& registers = power_registers;
    if (request.state != kSoftOff || request.extended) return Errno::kEOPNOTSUPP;
    if (registers.control_a == 0) return Errno::kENODEV;
    log(LogLevel::kInfo, "dom0 switches the machine off");
    out16(registers.control_a, static_cast<uint16_t>(request.value_a | kSleepEnable));
    if (registers.control_b != 0)
        out16(registers.control_b, static_cast<uint16_t>(request.value_b | kSleepEnable));
    pause_for_device();
    return Errno::kEIO;
}

void print_backtrace(uint64_t frame_pointer) {
    auto* frame = reinterpret_cast<const uint64_t*>(frame_pointer);
    for (unsigned depth = 0; depth < 16; ++depth) {
        const auto address = reinterpret_cast<uint64_t>(frame);
        if (address < TORII_PER_CPU_BASE || (address & 7) != 0 || address >= TORII_DIRECT_MAP_END) return;
        const uint64_t caller = frame[1];
        if (caller < TORII_IMAGE_BASE || caller >= TORII_IMAGE_BASE + 0x400000) return;
        log(LogLevel::kError, "  called from {x}", caller);
        frame = reinterpret_cast<const uint64_t*>(frame[0]);
    }
}

}  // namespace torii::hw
