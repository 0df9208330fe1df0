// What a boot loader and firmware hand over, as any bytes: memory is the input, and the information lies
// where its first word says. Everything that is kept must lie within memory, and the map must be in order.
#include <cstdlib>
#include <vector>

#include "boot/acpi_tables.h"
#include "boot/multiboot.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace torii::boot;
    if (size < 8) return 0;
    const std::vector<uint8_t> memory(data + 8, data + size);
    uint32_t where = 0;
    memcpy(&where, data, sizeof(where));
    const uint32_t magic = data[4] % 2 == 0 ? kMultiboot1 : kMultiboot2;
    torii::MachineMemoryMap map{};
    MemoryMapBuilder builder(map);
    const LoaderFacts facts = read_multiboot(magic, data[5] % 2 == 0 ? 0 : where,
                                             LoaderMemory(memory.data(), memory.size()), builder);
    const auto lies_within = [&](const void* place, size_t bytes) {
        const auto* const at = static_cast<const uint8_t*>(place);
        if (bytes != 0 &&
            (at < memory.data() || bytes > memory.size() || at + bytes > memory.data() + memory.size()))
            std::abort();
    };
    lies_within(facts.command_line.data(), facts.command_line.size());
    lies_within(facts.efi_map_bytes.data(), facts.efi_map_bytes.size());
    for (unsigned i = 0; i < facts.module_count; ++i) {
        lies_within(facts.modules[i].arguments.data(), facts.modules[i].arguments.size());
        if (facts.modules[i].end < facts.modules[i].start) std::abort();
    }
    for (unsigned i = 0; i + 1 < map.count; ++i) {
        if (map.entries[i].size == 0 ||
            map.entries[i].address + map.entries[i].size > map.entries[i + 1].address) {
            if (builder.left_out() == 0) std::abort();
        }
    }
    const TableBytes table(memory.data(), memory.size());
    (void)read_fadt(table);
    (void)read_hpet(table);
    if (count_dmar_units(table) + count_ivrs_units(table) > memory.size()) std::abort();
    return 0;
}
