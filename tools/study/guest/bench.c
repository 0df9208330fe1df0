// Micro-benchmark of a kernel, in the manner of lmbench: `bench TAG` prints one line per operation,
//   BENCH TAG name min=TICKS med=TICKS n=COUNT
// with the ticks of one operation in the best and the middle one of seven batches.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "timing.h"

enum { kPage = 4096, kRing = 64 };
static const long kFourMiB = 4L << 20;
static const char* tag = "?";

// `units` is how many operations one call of the loop body stands for.
static void measure(const char* name, long count, double units, void (*loop)(long)) {
    uint64_t batches[kBatches];
    loop(count / 4 + 1);
    for (int i = 0; i < kBatches; i++) {
        uint64_t start = ticks();
        loop(count);
        batches[i] = ticks() - start;
    }
    qsort(batches, kBatches, sizeof batches[0], compare_ticks);
    REPORT("BENCH %s %s min=%.1f med=%.1f n=%ld\n", tag, name, (double)batches[0] / ((double)count * units),
           (double)batches[kBatches / 2] / ((double)count * units), count);
}

static void require(int good) {
    if (!good) {
        static const char kText[] = "BENCH failed\n";
        (void)!write(1, kText, sizeof kText - 1);
        _exit(9);
    }
}

static void await_child(pid_t child) {
    int status;
    require(waitpid(child, &status, 0) == child && status == 0);
}

// --- system calls

static int zero_file, null_file, own_pipe[2];
static void empty_loop(long n) {
    for (long i = 0; i < n; i++)
        __asm__ volatile("");
}
static void get_pid(long n) {
    while (n--)
        syscall(SYS_getpid);
}
static void read_zero(long n) {
    char c;
    while (n--)
        require(read(zero_file, &c, 1) == 1);
}
static void write_null(long n) {
    char c = 0;
    while (n--)
        require(write(null_file, &c, 1) == 1);
}
static void clock_vdso(long n) {
    struct timespec t;
    while (n--)
        clock_gettime(CLOCK_MONOTONIC, &t);
}
static void clock_syscall(long n) {
    struct timespec t;
    while (n--)
        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
}
static void yield(long n) {
    while (n--)
        sched_yield();
}
static void pipe_to_self(long n) {
    char c = 0;
    while (n--)
        require(write(own_pipe[1], &c, 1) == 1 && read(own_pipe[0], &c, 1) == 1);
}

static void measure_system_calls(void) {
    measure("loop", 1000000, 1, empty_loop);
    measure("getpid", 5000, 1, get_pid);
    measure("read_zero_1B", 3000, 1, read_zero);
    measure("write_null_1B", 3000, 1, write_null);
    measure("clock_gettime_vdso", 10000, 1, clock_vdso);
    measure("clock_gettime_sys", 3000, 1, clock_syscall);
    measure("sched_yield", 3000, 1, yield);
    measure("pipe_self_wr_rd", 2000, 1, pipe_to_self);
}

// --- switches between processes

static int there[2], back[2], ring[kRing][2];
static void ping_pong(long n) {
    char c = 0;
    while (n--)
        require(write(there[1], &c, 1) == 1 && read(back[0], &c, 1) == 1);
}
static void around_ring(long n) {
    char c = 0;
    while (n--)
        require(write(ring[0][1], &c, 1) == 1 && read(ring[kRing - 1][0], &c, 1) == 1);
}

// A child that passes each byte on from one pipe to another until its source closes.
static void pass_on(int from, int to) {
    char c;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (read(from, &c, 1) == 1 && write(to, &c, 1) == 1)
        ;
    _exit(0);
}

static void measure_ping_pong(void) {
    require(pipe(there) == 0 && pipe(back) == 0);
    pid_t child = fork();
    if (child == 0) {
        close(there[1]);
        close(back[0]);
        pass_on(there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    measure("pipe_pingpong", 1000, 1, ping_pong);
    close(there[1]);
    close(back[0]);
    waitpid(child, NULL, 0);
}

// Member i of the ring keeps the reading end of pipe i and the writing end of pipe i + 1.
static void keep_only(int reading, int writing) {
    for (int i = 0; i < kRing; i++) {
        if (i != reading) close(ring[i][0]);
        if (i != writing) close(ring[i][1]);
    }
}

static void measure_ring(void) {
    pid_t members[kRing - 1];
    for (int i = 0; i < kRing; i++)
        require(pipe(ring[i]) == 0);
    for (int i = 0; i < kRing - 1; i++) {
        members[i] = fork();
        if (members[i] == 0) {
            keep_only(i, i + 1);
            pass_on(ring[i][0], ring[i + 1][1]);
        }
    }
    keep_only(kRing - 1, 0);
    measure("ctxsw_ring64_hop", 20, kRing, around_ring);
    close(ring[0][1]);
    for (int i = 0; i < kRing - 1; i++)
        waitpid(members[i], NULL, 0);
    close(ring[kRing - 1][0]);
}

// --- signals and protection

static char* guarded;
static volatile int hits;
static void on_user_signal(int number) {
    (void)number;
    hits++;
}
static void on_fault(int number) {
    (void)number;
    hits++;
    mprotect(guarded, kPage, PROT_READ | PROT_WRITE);
}
static void signal_self(long n) {
    while (n--)
        kill(getpid(), SIGUSR1);
}
static void protect_pair(long n) {
    while (n--) {
        mprotect(guarded, kPage, PROT_READ);
        mprotect(guarded, kPage, PROT_READ | PROT_WRITE);
        *(volatile char*)guarded = 1;
    }
}
static void protect_fault(long n) {
    while (n--) {
        mprotect(guarded, kPage, PROT_READ);
        *(volatile char*)guarded = 1;
    }
}

static void measure_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_user_signal;
    sigaction(SIGUSR1, &action, NULL);
    measure("signal_self", 2000, 1, signal_self);
    guarded = mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *guarded = 1;
    measure("mprotect_pair", 1000, 1, protect_pair);
    action.sa_handler = on_fault;
    sigaction(SIGSEGV, &action, NULL);
    measure("mprotect_fault", 1000, 1, protect_fault);
    signal(SIGSEGV, SIG_DFL);
}

// --- memory

static int mapped_file;
static char* four_mib(void) {
    char* memory = mmap(NULL, kFourMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(memory, kFourMiB, MADV_NOHUGEPAGE);
    return memory;
}
static void map_untouched(long n) {
    while (n--)
        munmap(four_mib(), kFourMiB);
}
static void map_and_touch(long n) {
    while (n--) {
        char* memory = four_mib();
        for (long i = 0; i < kFourMiB; i += kPage)
            memory[i] = 1;
        munmap(memory, kFourMiB);
    }
}
static void fault_in_file(long n) {
    while (n--) {
        volatile char* memory = mmap(NULL, kFourMiB / 4, PROT_READ, MAP_SHARED, mapped_file, 0);
        madvise((char*)memory, kFourMiB / 4, MADV_RANDOM);
        for (long i = 0; i < kFourMiB / 4; i += kPage)
            (void)memory[i];
        munmap((char*)memory, kFourMiB / 4);
    }
}

static void measure_memory(void) {
    char page[kPage];
    measure("mmap_4M_untouched", 200, 1, map_untouched);
    measure("mmap_touch_4M_page", 3, 1024, map_and_touch);
    mapped_file = open("/tmp/bench.file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    require(mapped_file >= 0);
    memset(page, 1, sizeof page);
    for (int i = 0; i < kFourMiB / 4 / kPage; i++)
        require(pwrite(mapped_file, page, sizeof page, (off_t)i * kPage) == kPage);
    measure("mmap_file_fault_page", 4, 256, fault_in_file);
    close(mapped_file);
    unlink("/tmp/bench.file");
}

// --- processes

static char* large;
static const char* program;
static void fork_and_wait(long n) {
    while (n--) {
        pid_t child = fork();
        if (child == 0) _exit(0);
        await_child(child);
    }
}
static void vfork_and_wait(long n) {
    while (n--) {
        pid_t child = vfork();
        if (child == 0) _exit(0);
        await_child(child);
    }
}
static void fork_and_exec(long n) {
    char *arguments[] = {(char*)program, NULL}, *environment[] = {NULL};
    while (n--) {
        pid_t child = fork();
        if (child == 0) {
            execve(program, arguments, environment);
            _exit(1);
        }
        await_child(child);
    }
}
static void fork_and_shell(long n) {
    char *arguments[] = {"sh", "-c", ":", NULL}, *environment[] = {NULL};
    while (n--) {
        pid_t child = fork();
        if (child == 0) {
            execve("/bin/busybox", arguments, environment);
            _exit(1);
        }
        await_child(child);
    }
}
static void copy_on_write(long n) {
    while (n--) {
        pid_t child = fork();
        if (child == 0) {
            for (long i = 0; i < kFourMiB; i += kPage)
                large[i]++;
            _exit(0);
        }
        await_child(child);
    }
}
static void sleep_millisecond(long n) {
    struct timespec pause = {0, 1000000};
    while (n--)
        nanosleep(&pause, NULL);
}

static void measure_processes(void) {
    measure("fork_exit_wait", 30, 1, fork_and_wait);
    measure("vfork_exit_wait", 60, 1, vfork_and_wait);
    program = "/bench/nop";
    measure("fork_exec_nop", 20, 1, fork_and_exec);
    program = "/bench/true";
    measure("fork_exec_true_static", 20, 1, fork_and_exec);
    measure("fork_exec_sh", 10, 1, fork_and_shell);
    large = mmap(NULL, 4 * kFourMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(large, 4 * kFourMiB, MADV_NOHUGEPAGE);
    for (long i = 0; i < 4 * kFourMiB; i += kPage)
        large[i] = 1;
    measure("fork_exit_wait_16M", 4, 1, fork_and_wait);
    measure("fork_cow_4M_page", 2, 1024, copy_on_write);
    munmap(large, 4 * kFourMiB);
    measure("nanosleep_1ms", 5, 1, sleep_millisecond);
}

// A loop of 40 million instructions shows whether a tick is an instruction.
static void calibrate(void) {
    uint64_t rounds = 20000000, start = ticks();
    __asm__ volatile("1: dec %0; jnz 1b" : "+r"(rounds));
    REPORT("BENCH %s calib loop20M=%.4f_ticks_per_insn\n", tag, (double)(ticks() - start) / 40e6);
}

int main(int count, char** arguments) {
    if (count > 1) tag = arguments[1];
    zero_file = open("/dev/zero", O_RDONLY);
    null_file = open("/dev/null", O_WRONLY);
    require(zero_file >= 0 && null_file >= 0 && pipe(own_pipe) == 0);
    signal(SIGPIPE, SIG_IGN);
    calibrate();
    measure_system_calls();
    measure_ping_pong();
    measure_ring();
    measure_signals();
    measure_memory();
    measure_processes();
    print_report();
    printf("BENCH %s end\n", tag);
    return 0;
}
