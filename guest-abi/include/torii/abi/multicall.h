#pragma once
// multicall (public xen.h): rdi = guest pointer to an array of entries, rsi = their number.

#include <cstdint>

namespace torii::abi {

struct MulticallEntry {
    uint64_t op;
    uint64_t result;
    uint64_t args[6];
};

}  // namespace torii::abi
