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
SPLIT_NOTES = (
    "The aim: at most Xen's for a large transfer, 1.3 times for the smallest. Reached, but for large requests to a disk that takes no time.",
    "The smallest ones: of a request alone, 2 `io_uring_enter` and 1 notify are system calls of a program, each of which enters and leaves the "
    "kernel by way of the hypervisor, for about 1,000; waking a process and switching to it is dearer than a kernel thread. An event is read "
    "and taken back through /dev/xen/evtchn, which gets and clears a page for each write. A round trip of a byte is 10 or 11 calls, 2 of them the peer's.",
    "`disk_*_1M`: data is moved once more than by Xen, between the guest's mapped pages and memory that io_uring knows: 135 thousand. That is "
    "repaid by what dom0's kernel does for each page, which Xen's backend has it look at one by one. Given the guest's pages themselves, as it was at "
    "first, it looked up each in its slowest way: 1,593,824 for a read, and 2,486,120 of `null`, whose disk cuts requests of 128 KiB, which io_uring then "
    "gave to a worker that looked up all of them again.",
    "`null_*_1M`: the same move, and hardly anything that repays it. A request of io_uring names one piece of the memory that it knows, and a guest's pages "
    "lie apart.",
    "`bridge_from_guest_1M`: Xen maps the guest's pages and gives them to the network as they are. Here the hypervisor copies them to toriid (132 thousand), "
    "and the tap copies them to pages of its own (136) that it has cleared before (134). Before frames lay in pages that dom0 grants to itself it was "
    "3,319,384: dom0's kernel looked up two pages of ours for each of the guest's.",
    "`bridge_to_guest_1M`: the tap's copy (134 thousand) is what Xen has not, and toriid, for each page, the 250 of planning, asking for and answering its "
    "copy. A tap hands a frame over by copy only, and netfront's buffers are new for each frame, so mapping them, to read the tap into them, would take "
    "longer than the hypervisor's copy. That repays it: a page costs 325 beside the 512 of its bytes, the pins of both ends included, which are a part of "
    "the call's own code. By way of functions it was 600, and the whole 1.02 of Xen's.",
    "`nat_*`: torii-nat, a process of its own, ends the guest's TCP connection and has another to the peer.",
)
