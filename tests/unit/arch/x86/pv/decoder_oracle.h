// Holds one decoding of ours against Zydis'.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace torii::test {

struct OracleVerdict {
    bool accepted = false;   // our decoder took the bytes
    bool known = false;      // Zydis sees an instruction and a form that ours claims to know
    std::string difference;  // empty: they agree
};

OracleVerdict compare_with_zydis(std::span<const uint8_t> bytes);

}  // namespace torii::test
