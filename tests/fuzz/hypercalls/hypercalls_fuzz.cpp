// Sequences of hypercalls, most of them valid, by three domains that come and go.
#include "fuzz/hypercalls/fuzzed_world.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    torii::fuzz::run_world(data, size, [](torii::test::RandomWorld& world) { world.step(); });
    return 0;
}
