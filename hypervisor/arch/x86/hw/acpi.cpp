#include "arch/x86/hw/acpi.h"

#include <cstring>

#include "arch/x86/pv/page_type.h"
#include "base/cpu_mask.h"
#include "base/log.h"
#include "port/frames.h"

namespace torii::hw {

constinit PowerRegisters power_registers;

namespace {

// Tables lie in memory that the firmware keeps, which need not be aligned and may lie above the direct map.
class Physical {
public:
    template <class T>
    static T read(uint64_t address) {
        T value;
        auto* out = reinterpret_cast<unsigned char*>(&value);
        for (size_t i = 0; i < sizeof(T); ++i) {
            const MachineAddr at(address + i);
            const MappedFrame page(frame_of(at));
            out[i] = page.as<unsigned char>()[offset_in_page(at)];
        }
        return value;
    }
    static bool checksum_ok(uint64_t address, uint32_t bytes) {
        uint8_t sum = 0;
        for (uint32_t i = 0; i < bytes; ++i)
            sum = static_cast<uint8_t>(sum + read<uint8_t>(address + i));
        return sum == 0;
    }
};

constexpr uint32_t kLargestTable = 1 << 20;
constexpr uint32_t kMadt = 0x43495041;  // "APIC"
constexpr uint32_t kFadt = 0x50434146;  // "FACP"

constinit uint64_t madt = 0;

uint64_t search_rsdp(uint64_t from, uint64_t to) {
    for (uint64_t at = from; at < to; at += 16) {
        if (Physical::read<uint64_t>(at) == 0x2052545020445352 && Physical::checksum_ok(at, 20))
            return at;  // "RSD PTR "
    }
    return 0;
}

void read_fadt(uint64_t table, uint32_t length) {
    if (length < 72) return;
    power_registers.control_a = static_cast<uint16_t>(Physical::read<uint32_t>(table + 64));
    power_registers.control_b = static_cast<uint16_t>(Physical::read<uint32_t>(table + 68));
    constexpr uint32_t kResetSupported = 1u << 10;
    if (length >= 129 && (Physical::read<uint32_t>(table + 112) & kResetSupported) != 0 &&
        Physical::read<uint8_t>(table + 116) == 1) {
        power_registers.reset_port = static_cast<uint16_t>(Physical::read<uint64_t>(table + 120));
        power_registers.reset_value = Physical::read<uint8_t>(table + 128);
    }
}

void look_at(uint64_t table) {
    const auto length = Physical::read<uint32_t>(table + 4);
    if (length < 36 || length > kLargestTable || !Physical::checksum_ok(table, length)) return;
    const auto signature = Physical::read<uint32_t>(table);
    if (signature == kMadt) madt = table;
    if (signature == kFadt) read_fadt(table, length);
}

// Calls `visit(type, address)` for each entry of the MADT.
template <class Visit>
void each_madt_entry(Visit&& visit) {
    if (madt == 0) return;
    const uint64_t end = madt + Physical::read<uint32_t>(madt + 4);
    for (uint64_t at = madt + 44; at + 2 <= end;) {
        const auto length = Physical::read<uint8_t>(at + 1);
        if (length < 2 || at + length > end) return;
        visit(Physical::read<uint8_t>(at), at);
        at += length;
    }
}

}  // namespace

void acpi_start(MachineAddr given) {
    uint64_t rsdp = given.raw();
    if (rsdp == 0) {
        const uint64_t extended = uint64_t{Physical::read<uint16_t>(0x40e)} << 4;
        if (extended != 0) rsdp = search_rsdp(extended, extended + 1024);
        if (rsdp == 0) rsdp = search_rsdp(0xe0000, 0x100000);
    }
    if (rsdp == 0) {
        log(LogLevel::kWarning, "no ACPI tables found");
        return;
    }
    const bool wide = Physical::read<uint8_t>(rsdp + 15) >= 2;
    const uint64_t root = wide ? Physical::read<uint64_t>(rsdp + 24) : Physical::read<uint32_t>(rsdp + 16);
    const auto length = Physical::read<uint32_t>(root + 4);
    if (length < 36 || length > kLargestTable) return;
    const unsigned step = wide ? 8 : 4;
    for (uint32_t at = 36; at + step <= length; at += step)
        look_at(wide ? Physical::read<uint64_t>(root + at) : Physical::read<uint32_t>(root + at));
}

IsaLine find_isa_line(unsigned irq) {
    IsaLine found{.line = irq};
    constexpr uint8_t kOverride = 2;
    each_madt_entry([&](uint8_t type, uint64_t at) {
        if (type != kOverride || Physical::read<uint8_t>(at + 3) != irq) return;
        found.line = Physical::read<uint32_t>(at + 4);
        const auto flags = Physical::read<uint16_t>(at + 8);
        found.active_low = (flags & 3) == 3;
        found.level = (flags >> 2 & 3) == 3;
    });
    return found;
}

IoApicPlace io_apic_place(unsigned index) {
    IoApicPlace found;
    constexpr uint8_t kIoApic = 1;
    each_madt_entry([&](uint8_t type, uint64_t at) {
        if (type != kIoApic || index-- != 0) return;
        found = {MachineAddr(Physical::read<uint32_t>(at + 4)), Physical::read<uint32_t>(at + 8)};
    });
    return found;
}

namespace {

template <class Visit>
void each_processor(Visit&& visit) {
    constexpr uint8_t kLocalApic = 0, kLocalX2Apic = 9;
    constexpr uint32_t kEnabled = 1;
    each_madt_entry([&](uint8_t type, uint64_t at) {
        if (type != kLocalApic && type != kLocalX2Apic) return;
        const bool wide = type == kLocalX2Apic;
        if ((Physical::read<uint32_t>(at + (wide ? 8 : 4)) & kEnabled) == 0) return;
        visit(wide ? Physical::read<uint32_t>(at + 4) : Physical::read<uint8_t>(at + 3));
    });
}

}  // namespace

unsigned count_processors() {
    unsigned count = 0;
    each_processor([&](uint32_t) { ++count; });
    return count < kMostCpus ? count : kMostCpus;
}

uint32_t processor_apic_id(unsigned index) {
    uint32_t found = 0;
    each_processor([&](uint32_t apic_id) {
        if (index-- == 0) found = apic_id;
    });
    return found;
}

}  // namespace torii::hw
