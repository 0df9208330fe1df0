// idle SECONDS: sleeps, between two instructions that do nothing and that the plugin (plugin/count.c) knows.
// One program, so that the beginning and the end of others are not counted.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

int main(int count, char** arguments) {
    struct timespec pause = {count > 1 ? atoi(arguments[1]) : 1, 0};
    unsigned long long start = __rdtsc();
    __asm__ volatile("nopl 0x70727401(%rax)");
    nanosleep(&pause, NULL);
    __asm__ volatile("nopl 0x70727402(%rax)");
    unsigned long long end = __rdtsc();
    printf("MARK idle-start tsc=%llu\nMARK idle-end tsc=%llu\n", start, end);
    return 0;
}
