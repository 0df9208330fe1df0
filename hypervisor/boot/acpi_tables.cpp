#include "boot/acpi_tables.h"

#include <cstring>

namespace torii::boot {
namespace {

// Zero where the table ends before.
template <class T>
T field(TableBytes table, size_t offset) {
    T value{};
    if (offset <= table.size() && sizeof(T) <= table.size() - offset)
        memcpy(&value, table.data() + offset, sizeof(T));
    return value;
}

GenericRegister generic(TableBytes table, size_t offset) {
    return {field<uint8_t>(table, offset), field<uint64_t>(table, offset + 4)};
}

// The 64-bit field where it is filled in, else the older 32-bit port.
GenericRegister either(TableBytes table, size_t wide, size_t narrow) {
    const GenericRegister found = generic(table, wide);
    if (found.address != 0) return found;
    return {GenericRegister::kPort, field<uint32_t>(table, narrow)};
}

// Calls `visit(type, offset)` for each structure behind the 48 bytes that DMAR and IVRS begin with.
template <class Type, class Visit>
void each_structure(TableBytes table, Visit&& visit) {
    constexpr size_t kHead = 48, kLeast = 4;
    for (size_t at = kHead; at + kLeast <= table.size();) {
        const auto length = field<uint16_t>(table, at + 2);
        if (length < kLeast || length > table.size() - at) return;
        visit(field<Type>(table, at));
        at += length;
    }
}

}  // namespace

FadtFacts read_fadt(TableBytes table) {
    constexpr uint32_t kWideTimer = 1u << 8, kResetSupported = 1u << 10, kReducedHardware = 1u << 20;
    constexpr uint16_t kNoRtc = 1u << 5;
    FadtFacts facts;
    const auto flags = field<uint32_t>(table, 112);
    facts.no_rtc = (field<uint16_t>(table, 109) & kNoRtc) != 0;
    if ((flags & kResetSupported) != 0) {
        facts.reset = generic(table, 116);
        facts.reset_value = field<uint8_t>(table, 128);
    }
    if ((flags & kReducedHardware) != 0) {
        facts.sleep_control = generic(table, 244);
        return facts;
    }
    facts.pm1a_control = either(table, 172, 64);
    facts.pm1b_control = either(table, 184, 68);
    constexpr uint8_t kTimerBytes = 4;
    if (field<uint8_t>(table, 91) == kTimerBytes) facts.pm_timer = either(table, 208, 76);
    facts.pm_timer_is_wide = (flags & kWideTimer) != 0;
    return facts;
}

uint64_t read_hpet(TableBytes table) {
    const GenericRegister found = generic(table, 40);
    return found.space == GenericRegister::kMemory ? found.address : 0;
}

ConfigurationSpace read_mcfg(TableBytes table) {
    constexpr size_t kHead = 44, kEntry = 16;
    for (size_t at = kHead; at + kEntry <= table.size(); at += kEntry) {
        const auto segment = field<uint16_t>(table, at + 8);
        const auto last_bus = field<uint8_t>(table, at + 11);
        if (segment == 0) return {field<uint64_t>(table, at), (uint64_t{last_bus} + 1) << 20};
    }
    return {};
}

unsigned count_dmar_units(TableBytes table) {
    constexpr uint16_t kHardwareUnit = 0;
    unsigned count = 0;
    each_structure<uint16_t>(table, [&](uint16_t type) { count += type == kHardwareUnit ? 1 : 0; });
    return count;
}

unsigned count_ivrs_units(TableBytes table) {
    // A unit is described once for each kind of hardware that it knows: the kind that comes first counts.
    constexpr uint8_t kKinds[] = {0x10, 0x11, 0x40};
    uint8_t counted = 0;
    unsigned count = 0;
    each_structure<uint8_t>(table, [&](uint8_t type) {
        for (const uint8_t kind : kKinds) {
            if (type == kind && counted == 0) counted = kind;
        }
        if (counted != 0 && type == counted) ++count;
    });
    return count;
}

}  // namespace torii::boot
