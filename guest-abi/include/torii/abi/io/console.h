#pragma once
// The PV console's shared page (public io/console.h): two byte rings with free-running 32-bit indices. `in`
// flows to the guest, `out` from it.

#include <cstdint>

namespace torii::abi {

inline constexpr uint32_t kConsoleInSize = 1024;
inline constexpr uint32_t kConsoleOutSize = 2048;

struct ConsoleRing {
    uint8_t in[kConsoleInSize];
    uint8_t out[kConsoleOutSize];
    uint32_t in_cons;
    uint32_t in_prod;
    uint32_t out_cons;
    uint32_t out_prod;
};

}  // namespace torii::abi
