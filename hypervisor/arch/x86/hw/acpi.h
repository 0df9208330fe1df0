// The few facts that the hypervisor itself takes from ACPI tables (ACPI specification 6.4, chapter 5).
#pragma once

#include <cstdint>

#include "base/frame.h"

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

// Finds the tables; 0 searches the BIOS areas.
void acpi_start(MachineAddr rsdp);
[[nodiscard]] IsaLine find_isa_line(unsigned irq);
// The IO-APICs, by index; none is left: the address is zero.
[[nodiscard]] IoApicPlace io_apic_place(unsigned index);
// The CPUs that firmware enabled: how many, and the local APIC id of each.
[[nodiscard]] unsigned count_processors();
[[nodiscard]] uint32_t processor_apic_id(unsigned index);

struct PowerRegisters {
    uint16_t control_a = 0;  // PM1a_CNT_BLK, 0: none
    uint16_t control_b = 0;
    uint16_t reset_port = 0;
    uint8_t reset_value = 0;
};
extern PowerRegisters power_registers;  // read by acpi_start()

}  // namespace torii::hw
