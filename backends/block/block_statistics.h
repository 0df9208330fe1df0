#pragma once
// What a block device did since it was attached in this process.

#include "common/statistics.h"

namespace torii::backend {

struct BlockCounters {
    Counter reads, writes, flushes, discards;  // requests that ended well
    Counter bytes_read, bytes_written, bytes_discarded;
    Counter errors;     // requests answered with an error, of those:
    Counter refused;    //   what the guest asked for was not possible
    Counter no_space;   //   the image's file system was full
    Counter throttled;  // how often taking requests was stopped by a limit
    LatencyHistogram read_latency, write_latency, flush_latency;  // from taking to answering
};

struct BlockStatistics {
    uint64_t reads = 0, writes = 0, flushes = 0, discards = 0;
    uint64_t bytes_read = 0, bytes_written = 0, bytes_discarded = 0;
    uint64_t errors = 0, refused = 0, no_space = 0, throttled = 0;
    LatencyHistogram::Snapshot read_latency, write_latency, flush_latency;

    static BlockStatistics of(const BlockCounters& counters);
};

}  // namespace torii::backend
