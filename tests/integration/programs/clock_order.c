// clock_order SECONDS: one thread on each CPU, and each in turn reads the clock. No reading may be before the
// last one, whoever made it. Prints how many readings there were, how many went backwards, and by how much at
// most, in nanoseconds. clock_order now: what CLOCK_REALTIME and the time stamp counter were at one moment,
// so that the clocks of two domains can be compared.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

// Bursts of readings in quick succession, which show the smallest differences, and naps, so that hours don't
// take a whole machine.
enum { kMostCpus = 128, kSpins = 64, kPatience = 2000, kBurst = 500, kNap = 20000 };

static int64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// Whose turn it is, and what the one before has read. Only the thread whose turn it is touches the rest.
static _Alignas(64) unsigned turn;
static unsigned cpus;
static int64_t last, stop_at, most_backwards;
static uint64_t readings, backwards;

static void read_clock(void) {
    int64_t now = nanoseconds(CLOCK_MONOTONIC);
    readings++;
    if (now < last) {
        backwards++;
        if (last - now > most_backwards) most_backwards = last - now;
    }
    last = now;
}

static void* take_turns(void* number) {
    unsigned mine = (unsigned)(uintptr_t)number;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(mine, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        perror("clock_order: sched_setaffinity");
        exit(2);
    }
    for (;;) {
        for (unsigned tries = 0; __atomic_load_n(&turn, __ATOMIC_ACQUIRE) % cpus != mine; tries++) {
            if (tries % kSpins == kSpins - 1) sched_yield();
            if (tries > kPatience) usleep(kNap / 10);
        }
        if (last >= stop_at) break;
        if (turn % kBurst == 0) usleep(kNap);
        read_clock();
        __atomic_fetch_add(&turn, 1, __ATOMIC_RELEASE);
    }
    __atomic_fetch_add(&turn, 1, __ATOMIC_RELEASE);
    return NULL;
}

// The reading that took the least time, out of many.
static void print_now(void) {
    uint64_t shortest = UINT64_MAX, at = 0;
    int64_t time = 0;
    for (int i = 0; i < 10000; i++) {
        uint64_t before = __rdtsc();
        int64_t read = nanoseconds(CLOCK_REALTIME);
        uint64_t after = __rdtsc();
        if (after - before >= shortest) continue;
        shortest = after - before;
        at = before + shortest / 2;
        time = read;
    }
    printf("realtime %lld tsc %llu\n", (long long)time, (unsigned long long)at);
}

int main(int count, char** arguments) {
    if (count != 2) {
        fprintf(stderr, "clock_order SECONDS|now\n");
        return 2;
    }
    if (strcmp(arguments[1], "now") == 0) {
        print_now();
        return 0;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    cpus = (unsigned)(online > kMostCpus ? kMostCpus : online);
    last = nanoseconds(CLOCK_MONOTONIC);
    stop_at = last + atoll(arguments[1]) * 1000000000;
    pthread_t threads[kMostCpus];
    for (unsigned i = 0; i < cpus; i++)
        if (pthread_create(&threads[i], NULL, take_turns, (void*)(uintptr_t)i) != 0) return 2;
    for (unsigned i = 0; i < cpus; i++)
        pthread_join(threads[i], NULL);
    printf("cpus %u readings %llu backwards %llu most %lld\n", cpus, (unsigned long long)readings,
           (unsigned long long)backwards, (long long)most_backwards);
    return backwards != 0;
}
