// Loads a xenstore with concurrent transactions: `xenstore_load DEVICE FOLDER CLIENTS ROUNDS`.
// DEVICE is the daemon's socket in dom0, or /dev/xen/xenbus in a guest. Each client opens its own connection
// and, ROUNDS times, reads a shared counter, a counter of its own, and writes both plus one, all in a
// transaction that it repeats on EAGAIN. At the end the shared counter must be CLIENTS * ROUNDS: no increment
// lost, none done twice. With ROUNDS 0 it floods instead: it writes nodes below FOLDER until it is refused,
// and prints the refusal. Facts: public io/xs_wire.h (header of four 32-bit words, operation numbers,
// NUL-terminated arguments).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    kRead = 2,
    kTransactionStart = 6,
    kTransactionEnd = 7,
    kWrite = 11,
    kRemove = 13,
    kWatchEvent = 15,
    kError = 16
};
enum { kPayloadMax = 4096 };

struct header {
    uint32_t type, request, transaction, length;
};

static char reply[kPayloadMax + 1];

static void fail(const char* what) {
    printf("xenstore_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_store(const char* device) {
    int file = open(device, O_RDWR);
    if (file >= 0) return file;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", device);
    file = socket(AF_UNIX, SOCK_STREAM, 0);
    if (file < 0 || connect(file, (struct sockaddr*)&address, sizeof address) != 0) fail(device);
    return file;
}

static void read_whole(int file, void* buffer, size_t length) {
    for (size_t done = 0; done < length;) {
        ssize_t got = read(file, (char*)buffer + done, length - done);
        if (got <= 0) fail("the store hung up");
        done += (size_t)got;
    }
}

// Sends one request; the payload of the answer is in `reply`, its type is returned.
static uint32_t ask(int file, uint32_t type, uint32_t transaction, const char* payload, size_t length) {
    static uint32_t request;
    struct header header = {type, ++request, transaction, (uint32_t)length};
    char message[sizeof header + kPayloadMax];
    memcpy(message, &header, sizeof header);
    memcpy(message + sizeof header, payload, length);
    if (write(file, message, sizeof header + length) != (ssize_t)(sizeof header + length)) fail("write");
    do {
        read_whole(file, &header, sizeof header);
        if (header.length > kPayloadMax) fail("an answer that is too long");
        read_whole(file, reply, header.length);
        reply[header.length] = '\0';
    } while (header.type == kWatchEvent);
    if (header.request != request) fail("an answer to another request");
    return header.type;
}

static long read_number(int file, uint32_t transaction, const char* path) {
    if (ask(file, kRead, transaction, path, strlen(path) + 1) == kError)
        return strcmp(reply, "ENOENT") == 0 ? 0 : -1;
    return atol(reply);
}

static int write_number(int file, uint32_t transaction, const char* path, long value) {
    char payload[256];
    int path_length = snprintf(payload, sizeof payload, "%s", path) + 1;
    int value_length = snprintf(payload + path_length, sizeof payload - (size_t)path_length, "%ld", value);
    return ask(file, kWrite, transaction, payload, (size_t)(path_length + value_length)) != kError;
}

// One increment of both counters; returns how often the transaction had to be repeated.
static long increment(int file, const char* shared, const char* own) {
    for (long repeats = 0;; repeats++) {
        if (ask(file, kTransactionStart, 0, "", 1) == kError) fail("transaction start refused");
        uint32_t transaction = (uint32_t)atol(reply);
        long value = read_number(file, transaction, shared), mine = read_number(file, transaction, own);
        if (value < 0 || mine < 0 || !write_number(file, transaction, shared, value + 1) ||
            !write_number(file, transaction, own, mine + 1))
            fail(reply);
        if (ask(file, kTransactionEnd, transaction, "T", 2) != kError) return repeats;
        if (strcmp(reply, "EAGAIN") != 0) fail(reply);
    }
}

static int flood(const char* device, const char* folder) {
    int file = open_store(device);
    for (long count = 0; count < 1000000; count++) {
        char path[256];
        snprintf(path, sizeof path, "%s/n%ld", folder, count);
        if (!write_number(file, 0, path, count)) {
            printf("xenstore_load: refused with %s after %ld nodes\n", reply, count);
            return 0;
        }
    }
    printf("xenstore_load: never refused\n");
    return 1;
}

int main(int count, char** arguments) {
    if (count != 5) {
        fprintf(stderr, "xenstore_load DEVICE FOLDER CLIENTS ROUNDS\n");
        return 2;
    }
    const char *device = arguments[1], *folder = arguments[2];
    long clients = atol(arguments[3]), rounds = atol(arguments[4]);
    char shared[128], own[128];
    if (rounds == 0) return flood(device, folder);
    snprintf(shared, sizeof shared, "%s/shared", folder);
    for (long client = 0; client < clients; client++) {
        if (fork() != 0) continue;
        int file = open_store(device);
        long repeats = 0;
        snprintf(own, sizeof own, "%s/own%ld", folder, client);
        for (long i = 0; i < rounds; i++)
            repeats += increment(file, shared, own);
        long mine = read_number(file, 0, own);
        printf("client %ld: %ld of %ld increments, %ld repeats\n", client, mine, rounds, repeats);
        exit(mine != rounds);
    }
    int bad = 0, status;
    while (wait(&status) > 0)
        bad += status != 0;
    long total = read_number(open_store(device), 0, shared);
    printf("xenstore_load: %ld of %ld increments, %d clients failed\n", total, clients * rounds, bad);
    return bad != 0 || total != clients * rounds;
}
