#include "arch/x86/hw/boot_info.h"

#include <cstring>

#include "arch/x86/hw/layout.h"
#include "core/memory/machine_map.h"
#include "port/frames.h"

namespace torii::hw {
namespace {

constexpr uint32_t kMultiboot1 = 0x2badb002;
constexpr uint32_t kMultiboot2 = 0x36d76289;

// The loader's structures lie below 4 GiB, which the boot mapping covers.
template <class T>
const T& at(uint64_t physical) {
    return *static_cast<const T*>(static_cast<const void*>(direct_map.base + physical));
}

// The loader's strings lie in RAM that nothing marks as taken, so they are copied before anyone allocates.
constexpr size_t kLongestText = 2048;
class TextStore {
public:
    std::string_view keep(std::string_view text) {
        if (text.size() > kLongestText) text = text.substr(0, kLongestText);
        if (text.size() > sizeof(bytes_) - used_) return {};
        char* const place = bytes_ + used_;
        memcpy(place, text.data(), text.size());
        used_ += text.size();
        return {place, text.size()};
    }

private:
    char bytes_[kLongestText * 2]{};
    size_t used_ = 0;
};
constinit TextStore texts;

std::string_view text_at(uint64_t physical) {
    return texts.keep(std::string_view(&at<char>(physical)));
}

// Multiboot gives modules and the kernel their arguments with the file's name in front.
std::string_view without_first_word(std::string_view text) {
    const size_t space = text.find(' ');
    return space == std::string_view::npos ? std::string_view{} : text.substr(space + 1);
}

void add_range(uint64_t start, uint64_t size, uint32_t type) {
    MachineMemoryMap& map = boot_memory_map;
    if (map.count == MachineMemoryMap::kMostEntries || size == 0) return;
    // Kept in order of address.
    unsigned place = map.count++;
    for (; place > 0 && map.entries[place - 1].address > start; --place)
        map.entries[place] = map.entries[place - 1];
    map.entries[place] = {start, size, type};
}

void add_module(BootInformation& info, uint64_t start, uint64_t end, std::string_view arguments) {
    if (info.module_count < BootInformation::kMostModules)
        info.modules[info.module_count++] = {MachineAddr(start), MachineAddr(end), arguments};
}

// Multiboot specification 0.6.96, section 3.3.
struct Multiboot1 {
    uint32_t flags, mem_lower, mem_upper, boot_device, command_line, module_count, modules, symbols[4],
        map_bytes, map;
};
struct Multiboot1Module {
    uint32_t start, end, arguments, reserved;
};

BootInformation read_multiboot1(uint64_t address) {
    BootInformation info;
    const auto& given = at<Multiboot1>(address);
    constexpr uint32_t kHasCommandLine = 1u << 2, kHasModules = 1u << 3, kHasMap = 1u << 6;
    if ((given.flags & kHasCommandLine) != 0)
        info.command_line = without_first_word(text_at(given.command_line));
    if ((given.flags & kHasModules) != 0) {
        for (uint32_t i = 0; i < given.module_count; ++i) {
            const auto& module = at<Multiboot1Module>(given.modules + i * sizeof(Multiboot1Module));
            add_module(info, module.start, module.end, without_first_word(text_at(module.arguments)));
        }
    }
    if ((given.flags & kHasMap) == 0) {
        info.problem = "the boot loader gives no memory map";
        return info;
    }
    for (uint64_t entry = given.map; entry < uint64_t{given.map} + given.map_bytes;) {
        add_range(at<uint64_t>(entry + 4), at<uint64_t>(entry + 12), at<uint32_t>(entry + 20));
        entry += at<uint32_t>(entry) + 4;
    }
    return info;
}

// Multiboot2 specification 2.0, section 3.6.
struct Multiboot2Tag {
    uint32_t type, size;
};

// Multiboot 2 hands over a copy of the RSDP, which goes the way of all the loader's data.
MachineAddr keep_rsdp(uint64_t physical, uint32_t size) {
    const std::string_view kept = texts.keep(std::string_view(&at<char>(physical), size));
    return MachineAddr(reinterpret_cast<uint64_t>(kept.data()) - TORII_IMAGE_BASE);
}

void read_map_tag(uint64_t tag, uint32_t size) {
    const auto step = at<uint32_t>(tag + 8);
    if (step < 24) return;
    for (uint64_t entry = tag + 16; entry + step <= tag + size; entry += step)
        add_range(at<uint64_t>(entry), at<uint64_t>(entry + 8), at<uint32_t>(entry + 16));
}

BootInformation read_multiboot2(uint64_t address) {
    BootInformation info;
    const uint64_t end = address + at<uint32_t>(address);
    for (uint64_t tag = address + 8; tag + sizeof(Multiboot2Tag) <= end;) {
        const auto& head = at<Multiboot2Tag>(tag);
        if (head.type == 0 || head.size < sizeof(Multiboot2Tag)) break;
        if (head.type == 1) info.command_line = text_at(tag + 8);
        if (head.type == 3)
            add_module(info, at<uint32_t>(tag + 8), at<uint32_t>(tag + 12), text_at(tag + 16));
        if (head.type == 6) read_map_tag(tag, head.size);
        // A copy of the RSDP; version 2 is the one to prefer and comes later.
        if (head.type == 14 || head.type == 15) info.rsdp = keep_rsdp(tag + 8, head.size - 8);
        tag += (head.size + 7) & ~uint64_t{7};
    }
    return info;
}

void sum_up_ram() {
    MachineMemoryMap& map = boot_memory_map;
    for (unsigned i = 0; i < map.count; ++i) {
        if (map.entries[i].type != static_cast<uint32_t>(abi::E820Type::kRam)) continue;
        const uint64_t start = pages_for(map.entries[i].address);
        const uint64_t end = (map.entries[i].address + map.entries[i].size) >> kPageShift;
        if (end <= start) continue;
        map.ram_frames += end - start;
        if (Mfn(end) > map.end_of_ram) map.end_of_ram = Mfn(end);
    }
}

}  // namespace

BootInformation read_boot_information(uint32_t magic, MachineAddr information) {
    BootInformation info;
    if (magic == kMultiboot1) {
        info = read_multiboot1(information.raw());
    } else if (magic == kMultiboot2) {
        info = read_multiboot2(information.raw());
    } else {
        info.problem = "the boot loader speaks neither Multiboot 1 nor Multiboot 2";
    }
    sum_up_ram();
    if (info.problem == nullptr && boot_memory_map.ram_frames == 0)
        info.problem = "the memory map names no RAM";
    return info;
}

}  // namespace torii::hw
