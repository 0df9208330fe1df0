#include "boot/efi_table.h"

namespace torii::boot {
namespace {

constexpr uint64_t kSystemTable = 0x5453595320494249;      // "IBI SYST"
constexpr uint64_t kRuntimeServices = 0x56524553544e5552;  // "RUNTSERV"

// The header of each of EFI's tables, section 4.2.
struct TableHeader {
    uint64_t signature;
    uint32_t revision, bytes, crc, reserved;
};

void read_vendor(uint64_t address, const LoaderMemory& memory, EfiFirmware& firmware) {
    for (unsigned i = 0; i < EfiFirmware::kLongestVendor && address != 0; ++i) {
        const auto unit = memory.read<uint16_t>(address + i * sizeof(uint16_t));
        if (unit == 0) return;
        firmware.vendor[firmware.vendor_length++] = unit;
    }
}

}  // namespace

std::optional<EfiFirmware> read_efi_table(uint64_t address, const LoaderMemory& memory) {
    const auto header = memory.read<TableHeader>(address);
    if (address == 0 || header.signature != kSystemTable) return {};
    EfiFirmware firmware;
    firmware.revision = header.revision;
    read_vendor(memory.read<uint64_t>(address + 24), memory, firmware);
    firmware.vendor_revision = memory.read<uint32_t>(address + 32);
    firmware.config_entries = memory.read<uint32_t>(address + 104);
    firmware.config_table = memory.read<uint64_t>(address + 112);
    const auto runtime = memory.read<uint64_t>(address + 88);
    const auto runtime_header = memory.read<TableHeader>(runtime);
    if (runtime != 0 && runtime_header.signature == kRuntimeServices) {
        firmware.runtime_table = runtime;
        firmware.runtime_revision = runtime_header.revision;
    }
    return firmware;
}

}  // namespace torii::boot
