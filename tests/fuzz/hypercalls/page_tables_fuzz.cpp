// Trees of page tables, most of them valid, and what changes them: pinned, loaded, written to, given up, with
// validation stopped half-way and left there.
#include "fuzz/hypercalls/fuzzed_world.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    torii::fuzz::run_world(data, size, [](torii::test::RandomWorld& world) { world.page_table_step(); });
    return 0;
}
