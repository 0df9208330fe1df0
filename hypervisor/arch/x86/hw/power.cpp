#include "arch/x86/hw/power.h"

#include "arch/x86/hw/acpi.h"
#include "arch/x86/hw/registers.h"
#include "base/log.h"
#include "port/machine.h"

namespace torii::hw {
namespace {

constexpr uint16_t kSleepEnable = 1u << 13;        // ACPI specification 6.4, section 4.8.3.2
constexpr uint8_t kExtendedSleepEnable = 1u << 5;  // section 4.8.3.7
constexpr unsigned kExtendedTypeShift = 2;
constexpr uint32_t kSoftOff = 5;
constexpr Nanoseconds kMillisecond = 1'000'000;

void write_register(const ByteRegister& where, uint8_t value) {
    if (where.memory != nullptr) *where.memory = value;
    if (where.port != 0) out8(where.port, value);
}

}  // namespace

void wait_for_device(Nanoseconds longest) {
    constexpr uint64_t kSpinsPerMillisecond = 20000;  // while the clock stands still
    const uint64_t most_spins = longest / kMillisecond * kSpinsPerMillisecond;
    const Nanoseconds start = now();
    for (uint64_t spins = 0; now() - start < longest; ++spins) {
        if (spins > most_spins && now() == start) return;
        asm volatile("pause");
    }
}

void halt_for_ever() {
    for (;;)
        asm volatile("cli; hlt");
}

void reset_machine() {
    constexpr Nanoseconds kPatience = 50 * kMillisecond;
    asm volatile("cli");
    const PowerRegisters& registers = power_registers;
    if (registers.reset.exists()) {
        write_register(registers.reset, registers.reset_value);
        wait_for_device(kPatience);
    }
    out8(0x64, 0xfe);  // the keyboard controller's reset line
    wait_for_device(kPatience);
    // The chipset's reset control: the kind of reset first, then the edge.
    const auto others = static_cast<uint8_t>(in8(0xcf9) & ~0x06u);
    out8(0xcf9, others | 0x02);
    wait_for_device(kMillisecond);
    out8(0xcf9, others | 0x06);
    wait_for_device(kPatience);
    const struct [[gnu::packed]] {
        uint16_t limit = 0;
        uint64_t base = 0;
    } nothing;
    asm volatile("lidt %0; int3" : : "m"(nothing));
    halt_for_ever();
}

Result<> enter_sleep(const SleepRequest& request) {
    constexpr Nanoseconds kPatience = 2000 * kMillisecond;
    const PowerRegisters& registers = power_registers;
    if (request.state != kSoftOff) return Errno::kEOPNOTSUPP;
    if (request.extended ? !registers.sleep_control.exists() : registers.control_a == 0)
        return Errno::kENODEV;
    log(LogLevel::kInfo, "dom0 switches the machine off");
    if (request.extended) {
        write_register(registers.sleep_control,
                       static_cast<uint8_t>(request.value_a << kExtendedTypeShift | kExtendedSleepEnable));
    } else {
        out16(registers.control_a, static_cast<uint16_t>(request.value_a | kSleepEnable));
        if (registers.control_b != 0)
            out16(registers.control_b, static_cast<uint16_t>(request.value_b | kSleepEnable));
    }
    wait_for_device(kPatience);
    log(LogLevel::kError, "the machine is still on: its power control register did nothing");
    return Errno::kEIO;
}

}  // namespace torii::hw
