#pragma once
// Work whose executed instructions are counted, and not its ticks: it stands between two instructions that do
// nothing and that the plugin (plugin/count.c) knows, and which print its counters; a line
//   COUNTED TAG name n=UNITS
// follows for each pair, in order. Each operation is counted several times, and the best counts. Also what a
// TCP connection is measured with: both its ends.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "timing.h"

static const char* tag = "?";
static char* buffer;  // of kLargest
enum { kLargest = 1 << 20, kStreamBytes = 8 << 20, kRoundTrips = 200, kTimes = 5, kPort = 5000 };

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

static int listen_at(const char* text) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = address_of(text);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    require(bind(listener, (void*)&address, sizeof address) == 0 && listen(listener, 1) == 0, "the listener");
    return listener;
}

static int connect_to(const char* text) {
    int link = one_packet_each(socket(AF_INET, SOCK_STREAM, 0));
    struct sockaddr_in address = address_of(text);
    require(connect(link, (void*)&address, sizeof address) == 0, "connect");
    return link;
}

static void make_buffer(void) {
    buffer = aligned_alloc(4096, kLargest);
    require(buffer != NULL, "memory");
    memset(buffer, 'a', kLargest);
}
