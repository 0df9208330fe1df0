// What the hypervisor itself takes from single ACPI tables (ACPI specification 6.4, section 5.2): pure
// readers of bytes. A table that is cut short gives what is there; its checksum is the caller's business.
#pragma once

#include <cstdint>
#include <span>

namespace torii::boot {

using TableBytes = std::span<const uint8_t>;

// A register as the Generic Address Structure names it (section 5.2.3.2). Address zero: none.
struct GenericRegister {
    static constexpr uint8_t kMemory = 0, kPort = 1;
    uint8_t space = kMemory;
    uint64_t address = 0;
};

// The FADT, section 5.2.9.
struct FadtFacts {
    GenericRegister pm1a_control;
    GenericRegister pm1b_control;
    GenericRegister pm_timer;
    bool pm_timer_is_wide = false;  // 32 bits, else 24
    GenericRegister reset;
    uint8_t reset_value = 0;
    GenericRegister sleep_control;  // of machines with reduced hardware
    bool no_rtc = false;
};
[[nodiscard]] FadtFacts read_fadt(TableBytes table);

// The address of the HPET's registers (IA-PC HPET specification 1.0a, section 3.2.4); zero: not in memory.
[[nodiscard]] uint64_t read_hpet(TableBytes table);

// Configuration space of PCI segment 0 in memory, by the MCFG table (PCI firmware specification 3.0,
// section 4.1.2): where bus 0 would lie, and how many bytes from there are configuration space at most. None:
// zero.
struct ConfigurationSpace {
    uint64_t start = 0;
    uint64_t bytes = 0;
};
[[nodiscard]] ConfigurationSpace read_mcfg(TableBytes table);

// How many units that translate devices' addresses a table describes: DMAR (Intel VT-d specification, section
// 8) or IVRS (AMD I/O virtualization specification, section 5.2).
[[nodiscard]] unsigned count_dmar_units(TableBytes table);
[[nodiscard]] unsigned count_ivrs_units(TableBytes table);

}  // namespace torii::boot
