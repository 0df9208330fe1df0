#pragma once
// Timing of small operations by the time stamp counter. Under QEMU's `-icount shift=0` a tick is an
// instruction of whatever runs: program, kernel, hypervisor. Rows are kept and printed at the end, so that
// console work does not disturb what is measured.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <x86intrin.h>

enum { kBatches = 7 };

static char report[32768];
static size_t report_length;

#define REPORT(...) \
    (report_length += (size_t)snprintf(report + report_length, sizeof report - report_length, __VA_ARGS__))

static inline uint64_t ticks(void) {
    _mm_lfence();
    return __rdtsc();
}

static int compare_ticks(const void* left, const void* right) {
    uint64_t a = *(const uint64_t*)left, b = *(const uint64_t*)right;
    return a < b ? -1 : a > b;
}

// Prints the rows one by one, with pauses that let a slow console drain.
static void print_report(void) {
    char* line = report;
    for (char* end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        fwrite(line, 1, (size_t)(end - line + 1), stdout);
        fflush(stdout);
        usleep(2000);
    }
}
