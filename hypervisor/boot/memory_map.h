// Builds the machine's memory map out of what firmware says, in any order, with overlaps.
#pragma once

#include "core/memory/machine_map.h"

namespace torii::boot {

class MemoryMapBuilder {
public:
    explicit MemoryMapBuilder(MachineMemoryMap& map) : map_(map) {}

    // `type` as abi::E820Type; neighbours of one type become one entry.
    void add(uint64_t start, uint64_t size, uint32_t type);
    // No two entries overlap any more: where they did, what is not RAM wins. Sums up the RAM.
    void finish();
    // Entries that there was no room for.
    [[nodiscard]] unsigned left_out() const { return left_out_; }

private:
    void insert(uint64_t start, uint64_t end, uint32_t type);
    void remove(unsigned index);
    bool resolve(unsigned index);
    void join();
    void sum_up();

    MachineMemoryMap& map_;
    unsigned left_out_ = 0;
};

}  // namespace torii::boot
