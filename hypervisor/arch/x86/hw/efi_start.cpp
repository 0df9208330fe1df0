// Runs at boot only.
#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/efi.h"
#include "arch/x86/hw/paging.h"
#include "base/log.h"
#include "boot/efi_table.h"
#include "core/call/platform_hooks.h"
#include "core/memory/heap.h"

namespace torii::hw {
namespace {

bool keep_memory_map(const boot::EfiMap& map, EfiFirmware& firmware) {
    Result<void*> room = heap_allocate(map.count() * sizeof(EfiMemory));
    if (!room.ok()) return false;
    auto* const entries = static_cast<EfiMemory*>(room.value());
    for (size_t i = 0; i < map.count(); ++i)
        entries[i] = boot::efi_memory_of(map[i]);
    firmware.memory = entries;
    firmware.memory_count = map.count();
    return true;
}

bool is_runtime(const EfiMemory& memory) {
    return (memory.attributes & boot::kEfiRuntime) != 0;
}

// What the services need, below the hypervisor's half and within what the CPU addresses.
bool map_runtime_memory(const EfiFirmware& firmware, Mfn root) {
    constexpr uint64_t kMostBytes = uint64_t{4} << 30;
    constexpr uint64_t kEndOfLowerHalf = uint64_t{1} << 47;
    uint64_t sum = 0;
    for (size_t i = 0; i < firmware.memory_count; ++i) {
        const EfiMemory& memory = firmware.memory[i];
        if (!is_runtime(memory)) continue;
        sum += memory.size;
        if (memory.start >= kEndOfLowerHalf || memory.size > kMostBytes || sum > kMostBytes) return false;
        map_for_firmware(root, MachineAddr(memory.start), memory.size,
                         (memory.attributes & boot::kEfiWriteBack) != 0);
    }
    return sum != 0;
}

void start_runtime(const EfiFirmware& firmware) {
    if (firmware.runtime_table == 0) {
        log(LogLevel::kWarning, "EFI gives no table of runtime services: dom0 has none");
        return;
    }
    Result<void*> stack = heap_allocate(TORII_STACK_SIZE);
    if (!stack.ok()) BUG("no memory for the stack of EFI's runtime services");
    const Mfn root = new_root();
    if (!map_runtime_memory(firmware, root)) {
        log(LogLevel::kWarning, "EFI's memory map names no usable memory of runtime services: dom0 has none");
        return;
    }
    efi_runtime = {
        .root = root,
        .stack_top = reinterpret_cast<uint64_t>(stack.value()) + TORII_STACK_SIZE - sizeof(StackTop),
        .table = firmware.runtime_table};
    platform.call_efi = call_efi;
}

}  // namespace

void efi_start(const BootInformation& info) {
    if (!info.efi.has_value()) return;
    Result<EfiFirmware*> made = heap_new<EfiFirmware>(*info.efi);
    if (!made.ok() || !keep_memory_map(info.efi_map, *made.value()))
        BUG("no memory for what EFI says of itself");
    const EfiFirmware* const kept = made.value();
    platform.efi = kept;
    char vendor[EfiFirmware::kLongestVendor];
    for (unsigned i = 0; i < kept->vendor_length; ++i)
        vendor[i] =
            kept->vendor[i] >= ' ' && kept->vendor[i] <= '~' ? static_cast<char>(kept->vendor[i]) : '?';
    start_runtime(*kept);
    log(LogLevel::kInfo, "EFI {}.{}, {}, {} tables, runtime services {}", kept->revision >> 16,
        (kept->revision & 0xffff) / 10, std::string_view(vendor, kept->vendor_length), kept->config_entries,
        platform.call_efi != nullptr ? "for dom0" : "not used");
}

}  // namespace torii::hw
