#include "boot/memory_map.h"

namespace torii::boot {
namespace {

// No x86 CPU addresses more (Intel SDM vol. 1, section 3.3.1): the end of a range can't run over.
constexpr uint64_t kEndOfAddresses = uint64_t{1} << 52;
constexpr auto kRam = static_cast<uint32_t>(abi::E820Type::kRam);

uint64_t end_of(const abi::E820Entry& entry) {
    return entry.address + entry.size;
}

}  // namespace

void MemoryMapBuilder::add(uint64_t start, uint64_t size, uint32_t type) {
    if (start >= kEndOfAddresses || size == 0) return;
    const uint64_t end = size < kEndOfAddresses - start ? start + size : kEndOfAddresses;
    // Firmware lists most in order: the entry that this one goes on from is the last one or just before it.
    for (unsigned i = map_.count; i > 0; --i) {
        abi::E820Entry& before = map_.entries[i - 1];
        if (end_of(before) != start || before.type != type) continue;
        before.size += end - start;
        return;
    }
    insert(start, end, type);
}

// Kept in order of address.
void MemoryMapBuilder::insert(uint64_t start, uint64_t end, uint32_t type) {
    if (map_.count == MachineMemoryMap::kMostEntries) {
        ++left_out_;
        return;
    }
    unsigned place = map_.count++;
    for (; place > 0 && map_.entries[place - 1].address > start; --place)
        map_.entries[place] = map_.entries[place - 1];
    map_.entries[place] = {start, end - start, type};
}

void MemoryMapBuilder::remove(unsigned index) {
    for (--map_.count; index < map_.count; ++index)
        map_.entries[index] = map_.entries[index + 1];
}

// Whether the entry overlapped the next one, which is settled then.
bool MemoryMapBuilder::resolve(unsigned index) {
    abi::E820Entry& first = map_.entries[index];
    const abi::E820Entry second = map_.entries[index + 1];
    const uint64_t first_end = end_of(first);
    const uint64_t second_end = end_of(second);
    if (first_end <= second.address) return false;
    if (first.type == kRam && second.type != kRam) {
        const uint32_t type = first.type;
        first.size = second.address - first.address;
        if (first.size == 0) remove(index);
        if (first_end > second_end) insert(second_end, first_end, type);
        return true;
    }
    remove(index + 1);
    if (second_end > first_end) insert(first_end, second_end, second.type);
    return true;
}

void MemoryMapBuilder::join() {
    for (unsigned i = 0; i + 1 < map_.count;) {
        abi::E820Entry& first = map_.entries[i];
        const abi::E820Entry& second = map_.entries[i + 1];
        if (end_of(first) == second.address && first.type == second.type) {
            first.size += second.size;
            remove(i + 1);
        } else {
            ++i;
        }
    }
}

void MemoryMapBuilder::sum_up() {
    map_.ram_frames = 0;
    map_.end_of_ram = {};
    for (unsigned i = 0; i < map_.count; ++i) {
        if (map_.entries[i].type != kRam) continue;
        const uint64_t start = pages_for(map_.entries[i].address);
        const uint64_t end = end_of(map_.entries[i]) >> kPageShift;
        if (end <= start) continue;
        map_.ram_frames += end - start;
        if (Mfn(end) > map_.end_of_ram) map_.end_of_ram = Mfn(end);
    }
}

void MemoryMapBuilder::finish() {
    // Each step takes an overlap away and moves nothing forward, so the steps are bounded; the bound is for a
    // map whose entries don't fit.
    constexpr unsigned kMostSteps = MachineMemoryMap::kMostEntries * MachineMemoryMap::kMostEntries;
    unsigned steps = 0;
    for (unsigned i = 0; i + 1 < map_.count && steps < kMostSteps;) {
        if (!resolve(i)) {
            ++i;
            continue;
        }
        ++steps;
        if (i > 0) --i;
    }
    join();
    sum_up();
}

}  // namespace torii::boot
