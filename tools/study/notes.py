"""Why a row of docs/benchmarks.md is above its limit: where the instructions go. By the row's name."""

NOTES = {}

# What bends the curve of docs/benchmarks.md on several CPUs.
CURVE_NOTES = (
    "`page_to_table_and_back`, `frame_away_and_back`: the flush before a frame's new use (`flush_stale`, arch/x86/hw/machine.cpp) asks "
    "every CPU that has not flushed since the frame's stamp and holds translations of any guest, not only those on which the frame's "
    "former owner ran. So CPUs interrupt and flush each other though their domains share nothing, and wait for the answers. The table "
    "has the asking and the flushes in it; not the waiting, since a CPU that waits gives QEMU's turn to the others: real CPUs lose more. Xen, in the "
    "same measurement on two CPUs, comes to 2.00 and 1.63.",
    "`frame_away_and_back`: besides, all CPUs take frames from one allocator under one lock.",
    "`grant_map_unmap`: as soon as there is a second CPU an unmap looks for others to ask, and takes another stamp for that, though there "
    "is nobody: 4 % more instructions, on two CPUs or eight. Its flush begins a new epoch, so the flush clock's word moves each time.",
    "The flush clock's word shares its cache line with `m2p_table`, which hypercalls that move frames read, and with "
    "`hw::options`: where one domain flushes, another waits for the line there too. A line of its own would cost nothing.",
    "Per-CPU area: `requests`, which others write, and `flushed_at` and `holds_translations`, which they read, lie among what the CPU "
    "itself uses at each entry (`CpuLocal`).",
    "`update_va_mapping_x2`, `mmu_update_x2`: a stamp reads the flush clock, and writes it only as the first one of an epoch; while "
    "nobody flushes, the line stays with all.",
    "`timer_set_and_stop`: no wait, and no line that moves; on CPU 0 alone, dom0's timers are there too.",
    "The others share nothing: neither an instruction more, nor a wait, nor a line that moves.",
)
