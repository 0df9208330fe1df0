// The few facts that the hypervisor itself takes from ACPI tables (ACPI specification 6.4, chapter 5).
#pragma once

#include <cstdint>

#include "base/frame.h"
#include "boot/multiboot.h"

namespace torii::hw {

// Where an interrupt of the ISA bus comes in.
struct IsaLine {
    uint32_t line = 0;  // global system interrupt
    bool active_low = false;
    bool level = false;
};
struct IoApicPlace {
    MachineAddr address{};
    uint32_t first_line = 0;
};

// Finds the tables; without an address it searches the BIOS areas.
void acpi_start(boot::AcpiRoot root);
[[nodiscard]] IsaLine find_isa_line(unsigned irq);
// The IO-APICs, by index; none is left: the address is zero.
[[nodiscard]] IoApicPlace io_apic_place(unsigned index);
// The CPUs that firmware enabled: how many, and the local APIC id of each.
[[nodiscard]] unsigned count_processors();
[[nodiscard]] uint32_t processor_apic_id(unsigned index);

// A register of one byte, at a port or in memory.
struct ByteRegister {
    uint16_t port = 0;
    volatile uint8_t* memory = nullptr;
    [[nodiscard]] bool exists() const { return port != 0 || memory != nullptr; }
};

// Both are read by acpi_start().
struct PowerRegisters {
    uint16_t control_a = 0;  // PM1a_CNT_BLK, 0: none
    uint16_t control_b = 0;
    ByteRegister reset;
    uint8_t reset_value = 0;
    ByteRegister sleep_control;  // of machines with reduced hardware
};
extern PowerRegisters power_registers;

struct ClockDevices {
    MachineAddr hpet{};          // 0: none
    uint16_t pm_timer_port = 0;  // 0: none
    bool pm_timer_is_wide = false;
    bool no_rtc = false;
};
extern ClockDevices clock_devices;

}  // namespace torii::hw
