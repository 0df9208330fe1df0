#include "arch/x86/hw/boot_info.h"

#include <cstring>

#include "core/memory/heap.h"
#include "core/memory/machine_map.h"
#include "port/frames.h"

namespace torii::hw {
namespace {

// The loader's strings lie in RAM that nothing marks as taken, so they are copied before anyone allocates.
// The hypervisor's own options are copied once more, to stay (keep_command_line).
class TextStore {
public:
    std::string_view keep(std::string_view text) {
        if (text.size() > sizeof(bytes_) - used_) return {};
        char* const place = bytes_ + used_;
        memcpy(place, text.data(), text.size());
        used_ += text.size();
        return {place, text.size()};
    }

private:
    char bytes_[boot::kLongestArguments * 2]{};
    size_t used_ = 0;
};
[[gnu::section(".boot.bss")]] constinit TextStore texts;

// Firmware of large machines has some hundred descriptors of 48 bytes.
[[gnu::section(".boot.bss")]] constinit uint8_t efi_map_copy[64 << 10];

void keep_efi_map(BootInformation& info) {
    if (info.efi_map.count() == 0) return;
    const size_t most = sizeof(efi_map_copy) / info.efi_map_step * info.efi_map_step;
    const size_t bytes = info.efi_map_bytes.size() < most ? info.efi_map_bytes.size() : most;
    memcpy(efi_map_copy, info.efi_map_bytes.data(), bytes);
    info.efi_map_bytes = {efi_map_copy, bytes};
    info.efi_map = boot::EfiMap(info.efi_map_bytes, info.efi_map_step);
}

}  // namespace

void keep_command_line(BootInformation& info) {
    if (info.command_line.empty()) return;
    Result<void*> room = heap_allocate(info.command_line.size());
    if (!room.ok()) BUG("no memory for the command line");
    memcpy(room.value(), info.command_line.data(), info.command_line.size());
    info.command_line = {static_cast<const char*>(room.value()), info.command_line.size()};
}

BootInformation read_boot_information(uint32_t magic, MachineAddr information) {
    boot::MemoryMapBuilder map(boot_memory_map);
    // What the boot page tables map.
    const boot::LoaderMemory memory(direct_map.base, direct_map.frames << kPageShift);
    BootInformation info = boot::read_multiboot(magic, information.raw(), memory, map);
    info.command_line = texts.keep(info.command_line);
    for (unsigned i = 0; i < info.module_count; ++i)
        info.modules[i].arguments = texts.keep(info.modules[i].arguments);
    keep_efi_map(info);
    if (info.problem == nullptr && boot_memory_map.ram_frames == 0)
        info.problem = "the memory map names no RAM";
    return info;
}

}  // namespace torii::hw
