// What the machine's disks and network cards cost dom0: `devices TAG`. How many of a card's packets come with
// one interrupt is up to the host, so each operation is counted several times (counted.h).
//
// Disks are read and written past the page cache. A card talks to a second one of its kind at the other end
// of its wire, which is in a network namespace of its own, so that what is sent really goes out.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "counted.h"

enum { kRequests = 64 };

// --- disks

static void transfer(int file, size_t size, int writes) {
    for (int i = 0; i < kRequests; i++) {
        off_t at = (off_t)i * kLargest;
        ssize_t moved = writes ? pwrite(file, buffer, size, at) : pread(file, buffer, size, at);
        require(moved == (ssize_t)size, "a disk's request");
    }
}

static void measure_disk(const char* name, const char* path) {
    int file = open(path, O_RDWR | O_DIRECT);
    require(file >= 0, path);
    for (int writes = 0; writes < 2; writes++)
        for (size_t size = 4096; size <= kLargest; size = size == 4096 ? kLargest : kLargest * 2) {
            char what[32];
            snprintf(what, sizeof what, "%s_%s", writes ? "write" : "read", size == 4096 ? "4K" : "1M");
            transfer(file, size, writes);
            for (int i = 0; i < kTimes; i++) {
                start();
                transfer(file, size, writes);
                end(what, name, kRequests);
            }
        }
    close(file);
}

// --- network cards

static void run(const char* format, const char* card, long number) {
    char line[256];
    snprintf(line, sizeof line, format, card, number, card);
    require(system(line) == 0, line);
}

// The other end: a namespace of its own, into which the parent puts the second card.
static void be_peer(const char* card, int from_parent, int to_parent) {
    char byte;
    require(unshare(CLONE_NEWNET) == 0 && write(to_parent, "u", 1) == 1 && read(from_parent, &byte, 1) == 1,
            "the namespace");
    run("ip link set %s up && ip address add 10.9.0.%ld/24 dev %s", card, 2);
    int listener = listen_at("0.0.0.0");
    require(write(to_parent, "l", 1) == 1, "the parent");
    int peer = one_packet_each(accept(listener, NULL, NULL));
    for (int i = 0; i <= kTimes; i++)
        exchange(peer, 0);
    for (int i = 0; i <= kTimes; i++)
        stream_in(peer);
    exit(0);
}

static void measure_card(const char* name, const char* card, const char* other) {
    int down[2], up[2];
    char byte;
    require(pipe(down) == 0 && pipe(up) == 0, "pipes");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) be_peer(other, down[0], up[1]);
    require(read(up[0], &byte, 1) == 1, "the peer");
    run("ip link set %s netns %ld", other, child);
    require(write(down[1], "g", 1) == 1, "the peer");
    run("ip link set %s up && ip address add 10.9.0.%ld/24 dev %s", card, 1);
    require(read(up[0], &byte, 1) == 1, "the peer's listener");
    sleep(3);  // the links come up
    int link = connect_to("10.9.0.2");
    exchange(link, 1);
    for (int i = 0; i < kTimes; i++) {
        start();
        exchange(link, 1);
        end("round_trip_1B", name, kRoundTrips);
    }
    stream_out(link);
    for (int i = 0; i < kTimes; i++) {
        start();
        stream_out(link);
        end("stream_1M", name, (double)kStreamBytes / kLargest);
    }
    int status;
    require(waitpid(child, &status, 0) == child && status == 0, "the peer's end");
    run("ip link set %s down; ip address del 10.9.0.%ld/24 dev %s", card, 1);
}

int main(int count, char** arguments) {
    if (count > 1) tag = arguments[1];
    make_buffer();
    measure_disk("virtio_disk", "/dev/vda");
    measure_disk("nvme", "/dev/nvme0n1");
    measure_disk("ahci", "/dev/sda");
    // By the order of their slots on the bus.
    measure_card("virtio_net", "eth0", "eth1");
    measure_card("e1000e", "eth2", "eth3");
    print_report();
    return 0;
}
