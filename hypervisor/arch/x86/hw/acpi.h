// The few facts that the hypervisor itself takes from ACPI tables (ACPI specification 6.4, chapter 5).
#pragma once

#include <cstdint>

#include "base/frame.h"

namespace torii::hw {

struct InterruptRoute {
    MachineAddr io_apic{};  // zero: none
    unsigned pin = 0;
    bool active_low = false;
    bool level = false;
};

// Finds the tables; 0 searches the BIOS areas.
void acpi_start(MachineAddr rsdp);
[[nodiscard]] InterruptRoute find_isa_route(unsigned irq);
// The CPUs that firmware enabled: how many, and the local APIC id of each.
[[nodiscard]] unsigned count_processors();
[[nodiscard]] uint32_t processor_apic_id(unsigned index);
// All IO-APICs belong to the hypervisor: their frames are closed to dom0.
void reserve_io_apics();

struct PowerRegisters {
    uint16_t control_a = 0;  // PM1a_CNT_BLK, 0: none
    uint16_t control_b = 0;
    uint16_t reset_port = 0;
    uint8_t reset_value = 0;
};
extern PowerRegisters power_registers;  // read by acpi_start()

}  // namespace torii::hw
