#include "arch/x86/hw/acpi.h"

#include <cstring>

#include "arch/x86/hw/paging.h"
#include "arch/x86/pv/page_type.h"
#include "base/cpu_mask.h"
#include "base/log.h"
#include "boot/acpi_tables.h"
#include "core/memory/io_frames.h"
#include "port/frames.h"

namespace torii::hw {

constinit PowerRegisters power_registers;
constinit ClockDevices clock_devices;

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
constexpr uint32_t kHpet = 0x54455048;  // "HPET"
constexpr uint32_t kMcfg = 0x4746434d;  // "MCFG"
constexpr uint32_t kDmar = 0x52414d44;  // "DMAR"
constexpr uint32_t kIvrs = 0x53525649;  // "IVRS"

constinit uint64_t madt = 0;

uint64_t search_rsdp(uint64_t from, uint64_t to) {
    for (uint64_t at = from; at < to; at += 16) {
        if (Physical::read<uint64_t>(at) == 0x2052545020445352 && Physical::checksum_ok(at, 20))
            return at;  // "RSD PTR "
    }
    return 0;
}

// Where a BIOS puts it (ACPI specification 6.4, section 5.2.5.1).
boot::AcpiRoot search_root() {
    const uint64_t extended = uint64_t{Physical::read<uint16_t>(0x40e)} << 4;
    uint64_t rsdp = extended != 0 ? search_rsdp(extended, extended + 1024) : 0;
    if (rsdp == 0) rsdp = search_rsdp(0xe0000, 0x100000);
    if (rsdp == 0) return {};
    if (Physical::read<uint8_t>(rsdp + 15) >= 2) return {Physical::read<uint64_t>(rsdp + 24), true};
    return {Physical::read<uint32_t>(rsdp + 16), false};
}

// The beginning of a table, all that its reader needs of it.
[[gnu::section(".boot.bss")]] constinit uint8_t table_bytes[kPageSize];

boot::TableBytes copy_table(uint64_t table, uint32_t length) {
    const uint32_t bytes = length < sizeof(table_bytes) ? length : sizeof(table_bytes);
    for (uint32_t i = 0; i < bytes; ++i)
        table_bytes[i] = Physical::read<uint8_t>(table + i);
    return {table_bytes, bytes};
}

uint16_t port_of(const boot::GenericRegister& found) {
    return found.space == boot::GenericRegister::kPort && found.address <= 0xffff
               ? static_cast<uint16_t>(found.address)
               : 0;
}

ByteRegister byte_register(const boot::GenericRegister& found) {
    ByteRegister made;
    made.port = port_of(found);
    if (found.space == boot::GenericRegister::kMemory && found.address != 0)
        made.memory = static_cast<volatile uint8_t*>(map_device(MachineAddr(found.address), 1));
    return made;
}

void use_fadt(boot::TableBytes table) {
    const boot::FadtFacts facts = boot::read_fadt(table);
    power_registers.control_a = port_of(facts.pm1a_control);
    power_registers.control_b = port_of(facts.pm1b_control);
    power_registers.reset = byte_register(facts.reset);
    power_registers.reset_value = facts.reset_value;
    power_registers.sleep_control = byte_register(facts.sleep_control);
    clock_devices.pm_timer_port = port_of(facts.pm_timer);
    clock_devices.pm_timer_is_wide = facts.pm_timer_is_wide;
    clock_devices.no_rtc = facts.no_rtc;
}

// Found and named, not used: a person who plans to hand out devices should know.
void report_iommus(std::string_view table, std::string_view name, unsigned count) {
    log(LogLevel::kInfo, "{}: {} units found: {}; left as firmware set them, Torii does not use an IOMMU",
        table, name, count);
}

// What dom0 stores there is looked at, as what it writes by ports.
void guard_configuration(const boot::ConfigurationSpace& found) {
    if (found.start == 0 || found.start % kPageSize != 0) return;
    const GuardedRange range{MachineAddr(found.start), found.bytes, IoGuard::kConfiguration, 0};
    MUST(guard_io_range(range));  // the first one: there is room
}

void look_at(uint64_t table) {
    const auto length = Physical::read<uint32_t>(table + 4);
    if (length < 36 || length > kLargestTable || !Physical::checksum_ok(table, length)) return;
    switch (Physical::read<uint32_t>(table)) {
        case kMadt:
            madt = table;
            break;
        case kFadt:
            use_fadt(copy_table(table, length));
            break;
        case kHpet:
            clock_devices.hpet = MachineAddr(boot::read_hpet(copy_table(table, length)));
            break;
        case kMcfg:
            guard_configuration(boot::read_mcfg(copy_table(table, length)));
            break;
        case kDmar:
            report_iommus("DMAR", "VT-d", boot::count_dmar_units(copy_table(table, length)));
            break;
        case kIvrs:
            report_iommus("IVRS", "AMD-Vi", boot::count_ivrs_units(copy_table(table, length)));
            break;
        default:
            break;
    }
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

void acpi_start(boot::AcpiRoot root) {
    if (root.address == 0) root = search_root();
    if (root.address == 0) {
        log(LogLevel::kWarning, "no ACPI tables found");
        return;
    }
    const auto length = Physical::read<uint32_t>(root.address + 4);
    if (length < 36 || length > kLargestTable) return;
    const unsigned step = root.wide ? 8 : 4;
    for (uint32_t at = 36; at + step <= length; at += step)
        look_at(root.wide ? Physical::read<uint64_t>(root.address + at)
                          : Physical::read<uint32_t>(root.address + at));
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
