// What a guest's disks and network cost, the guest's own work and all below it: `split guest TAG` in the
// guest, `split peer` in dom0, which is the other end of each connection. Counted as counted.h says.
//
// Each disk is read and written past the page cache, one request at a time and 32 at a time; each of them has
// a place of its own, so that none is merged with its neighbour. TCP goes to an address of dom0's.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "counted.h"

enum { kRequests = 64, kDeep = 32, kDeepRequests = 512, kPlaces = 256 };

static int present(const char* path) {
    return access(path, F_OK) == 0;
}

// --- disks

static void transfer(int file, size_t size, int writes) {
    for (int i = 0; i < kRequests; i++) {
        off_t at = (off_t)i * kLargest;
        ssize_t moved = writes ? pwrite(file, buffer, size, at) : pread(file, buffer, size, at);
        require(moved == (ssize_t)size, "a disk's request");
    }
}

static aio_context_t context;

static void submit(struct iocb* control, int file, int writes, int number) {
    control->aio_fildes = (uint32_t)file;
    control->aio_lio_opcode = writes ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
    control->aio_nbytes = 4096;
    control->aio_offset = (int64_t)(number % kPlaces) * kLargest;
    require(syscall(SYS_io_submit, context, 1L, &control) == 1, "io_submit");
}

// As many at a time as there are; each that ends is followed by another.
static void transfer_deep(int file, int writes) {
    static struct iocb controls[kDeep];
    struct io_event events[kDeep];
    int begun = 0, ended = 0;
    for (; begun < kDeep; begun++) {
        controls[begun].aio_buf = (uintptr_t)(buffer + begun * 4096);
        controls[begun].aio_data = (uint64_t)begun;
        submit(&controls[begun], file, writes, begun);
    }
    while (ended < kDeepRequests) {
        long count = syscall(SYS_io_getevents, context, 1L, (long)kDeep, events, NULL);
        require(count > 0, "io_getevents");
        ended += (int)count;
        for (long i = 0; i < count; i++) {
            require(events[i].res == 4096, "a disk's request");
            if (begun < kDeepRequests) submit(&controls[events[i].data], file, writes, begun++);
        }
    }
}

static void measure_disk(const char* name, const char* path) {
    int file = open(path, O_RDWR | O_DIRECT);
    require(file >= 0, path);
    for (int writes = 0; writes < 2; writes++) {
        const char* kind = writes ? "write" : "read";
        char what[32];
        for (size_t size = 4096; size <= kLargest; size = size == 4096 ? kLargest : kLargest * 2) {
            snprintf(what, sizeof what, "%s_%s", kind, size == 4096 ? "4K" : "1M");
            transfer(file, size, writes);
            for (int i = 0; i < kTimes; i++) {
                start();
                transfer(file, size, writes);
                end(what, name, kRequests);
            }
        }
        snprintf(what, sizeof what, "%s_4K_x%d", kind, kDeep);
        transfer_deep(file, writes);
        for (int i = 0; i < kTimes; i++) {
            start();
            transfer_deep(file, writes);
            end(what, name, kDeepRequests);
        }
    }
    close(file);
}

// --- the network

static void measure_network(const char* name, const char* address) {
    int link = connect_to(address);
    exchange(link, 1);
    for (int i = 0; i < kTimes; i++) {
        start();
        exchange(link, 1);
        end("round_trip_1B", name, kRoundTrips);
    }
    const double units = (double)kStreamBytes / kLargest;
    stream_out(link);
    for (int i = 0; i < kTimes; i++) {
        start();
        stream_out(link);
        end("from_guest_1M", name, units);
    }
    for (int i = 0; i <= kTimes; i++) {
        if (i > 0) start();
        require(send(link, "g", 1, 0) == 1, "the beginning of a stream");
        stream_in(link);
        if (i > 0) end("to_guest_1M", name, units);
    }
    close(link);
}

// dom0's end.
static void be_peer(void) {
    int listener = listen_at("0.0.0.0");
    for (;;) {
        int link = one_packet_each(accept(listener, NULL, NULL));
        for (int i = 0; i <= kTimes; i++)
            exchange(link, 0);
        for (int i = 0; i <= kTimes; i++)
            stream_in(link);
        for (int i = 0; i <= kTimes; i++) {
            char byte;
            require(recv(link, &byte, 1, 0) == 1, "the beginning of a stream");
            stream_out(link);
        }
        close(link);
    }
}

int main(int count, char** arguments) {
    make_buffer();
    if (count > 1 && strcmp(arguments[1], "peer") == 0) be_peer();
    if (count > 2) tag = arguments[2];
    require(syscall(SYS_io_setup, (long)kDeep, &context) == 0, "io_setup");
    measure_disk("disk", "/dev/xvda");
    measure_disk("null", "/dev/xvdb");
    measure_network("bridge", "10.9.0.1");
    if (present("/sys/class/net/eth1")) measure_network("nat", "10.8.0.1");
    print_report();
    return 0;
}
