// The instruction decoder against Zydis: whatever ours accepts must mean the same to both.
#include <cstdio>
#include <cstdlib>

#include "unit/arch/x86/pv/decoder_oracle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto verdict = torii::test::compare_with_zydis({data, size < 15 ? size : 15});
    if (!verdict.difference.empty()) {
        std::fprintf(stderr, "%s\n", verdict.difference.c_str());
        std::abort();
    }
    return 0;
}
