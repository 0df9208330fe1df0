// What the machine's disks and network cards cost dom0: `devices TAG`. The work is done between two
// instructions that do nothing and that the plugin (plugin/count.c) knows, and which print its counters; a
// line
//   COUNTED TAG name n=UNITS
// follows for each pair, in order; each operation is counted several times, since how many of a card's
// packets come with one interrupt is up to the host, and the best counts. Instructions are counted, not
// ticks: while a device works the processor may sleep.
//
// Disks are read and written past the page cache. A card talks to a second one of its kind at the other end
// of its wire, which is in a network namespace of its own, so that what is sent really goes out.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "timing.h"

static const char* tag = "?";
static char* buffer;
enum {
    kLargest = 1 << 20,
    kRequests = 64,
    kStreamBytes = 8 << 20,
    kRoundTrips = 200,
    kTimes = 5,
    kPort = 5000
};

static void require(int good, const char* what) {
    if (good) return;
    printf("BENCH failed: %s: %s\n", what, strerror(errno));
    exit(9);
}

static void start(void) {
    __asm__ volatile("nopl 0x70727401(%rax)");
}

static void end(const char* what, const char* device, double units) {
    __asm__ volatile("nopl 0x70727402(%rax)");
    REPORT("COUNTED %s %s_%s n=%.0f\n", tag, device, what, units);
}

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

static void exchange(int socket, int first) {
    char byte = 'x';
    for (int i = 0; i < kRoundTrips; i++) {
        if (first) require(send(socket, &byte, 1, 0) == 1, "send");
        require(recv(socket, &byte, 1, 0) == 1, "recv");
        if (!first) require(send(socket, &byte, 1, 0) == 1, "send");
    }
}

static void stream_out(int socket) {
    for (size_t sent = 0; sent < kStreamBytes;) {
        ssize_t count = send(socket, buffer, 65536, 0);
        require(count > 0, "send");
        sent += (size_t)count;
    }
    char byte;
    require(recv(socket, &byte, 1, 0) == 1, "the end of a stream");
}

static void stream_in(int socket) {
    for (size_t got = 0; got < kStreamBytes;) {
        ssize_t count = recv(socket, buffer, 65536, 0);
        require(count > 0, "recv");
        got += (size_t)count;
    }
    require(send(socket, "x", 1, 0) == 1, "the end of a stream");
}

static int one_packet_each(int socket) {
    int on = 1;
    require(setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "TCP_NODELAY");
    return socket;
}

static struct sockaddr_in address_of(const char* text) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(kPort)};
    inet_pton(AF_INET, text, &address.sin_addr);
    return address;
}

// The other end: a namespace of its own, into which the parent puts the second card.
static void be_peer(const char* card, int from_parent, int to_parent) {
    char byte;
    require(unshare(CLONE_NEWNET) == 0 && write(to_parent, "u", 1) == 1 && read(from_parent, &byte, 1) == 1,
            "the namespace");
    run("ip link set %s up && ip address add 10.9.0.%ld/24 dev %s", card, 2);
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = address_of("0.0.0.0");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    require(bind(listener, (void*)&address, sizeof address) == 0 && listen(listener, 1) == 0 &&
                write(to_parent, "l", 1) == 1,
            "the listener");
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
    int link = one_packet_each(socket(AF_INET, SOCK_STREAM, 0));
    struct sockaddr_in address = address_of("10.9.0.2");
    require(connect(link, (void*)&address, sizeof address) == 0, "connect");
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
    buffer = aligned_alloc(4096, kLargest);
    require(buffer != NULL, "memory");
    memset(buffer, 'a', kLargest);
    measure_disk("virtio_disk", "/dev/vda");
    measure_disk("nvme", "/dev/nvme0n1");
    measure_disk("ahci", "/dev/sda");
    // By the order of their slots on the bus.
    measure_card("virtio_net", "eth0", "eth1");
    measure_card("e1000e", "eth2", "eth3");
    print_report();
    return 0;
}
