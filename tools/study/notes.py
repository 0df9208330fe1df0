"""Why a row of docs/benchmarks.md is above its limit: where the instructions go. By the row's name."""

NOTES = {}

# What bends the curve of docs/benchmarks.md on several CPUs.
CURVE_NOTES = (
    "Not many CPUs hold what a guest may have left in them: a CPU says whose translations it has, a frame whose page tables led to it, and "
    "the flush before a frame's new use asks where the two meet (base/rememberers.h). Before that was so, `page_to_table_and_back` came to "
    "6.91 on 8 CPUs and waited 3.9 million times, `frame_away_and_back` to 5.51. Xen, in the same measurement on two CPUs, comes to 2.00 and 1.63.",
    "`page_to_table_and_back`: what it lacks is the look at each other CPU.",
    "`frame_away_and_back`: all CPUs take frames from one allocator under one lock, where they wait; and a frame that another guest has just "
    "given back asks that guest's CPU. On two and four CPUs one of them did nearly all: QEMU did not come back to one that waited for another's "
    "flush while that one went on. Where CPUs are threads of the host (no `-icount`) they share evenly.",
    "`grant_map_unmap`, and whatever else flushes: a flush behind a stamp begins a new epoch, so the flush clock's word moves from CPU to CPU "
    "where these really run at the same time.",
    "In this run `m2p_table` and `hw::options` lay behind the flush clock in its cache line; it has had one of its own since.",
    "`timer_set_and_stop`: no wait, and no line that moves; on CPU 0 alone, dom0's timers are there too.",
    "The others share nothing: neither an instruction more, nor a wait, nor a line that moves.",
)

# Of a guest's disks and network: why it is as it is, and what is still in the way.
SPLIT_NOTES = ()
