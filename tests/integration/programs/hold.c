// hold gntdev DOMAIN REF | hold privcmd DOMAIN FRAME: maps one page of another domain through that device,
// says "holds" with what is in it, and keeps it. At each line that it reads it says what is in it by then; at
// the end of its input it lets go, says "released", and ends. What is in the page: "pattern" if every word is
// the pattern that the test's guests write, or else its first word.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/grant_table.h>
#include <xen/sys/gntdev.h>
#include <xen/sys/privcmd.h>

enum { kPage = 4096 };
static const uint64_t kPattern = 0x746F7269695F6765;

static void fail(const char* what) {
    printf("hold: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void* map_grant(int device, uint32_t domain, uint32_t ref) {
    struct ioctl_gntdev_map_grant_ref map = {.count = 1};
    map.refs[0].domid = domain;
    map.refs[0].ref = ref;
    if (ioctl(device, IOCTL_GNTDEV_MAP_GRANT_REF, &map) != 0) fail("gntdev refuses the grant");
    return mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)map.index);
}

static void* map_frame(int device, uint32_t domain, uint64_t frame) {
    void* page = mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
    if (page == MAP_FAILED) return page;
    xen_pfn_t frames[1] = {frame};
    int errors[1] = {0};
    privcmd_mmapbatch_v2_t batch = {
        .num = 1, .dom = (domid_t)domain, .addr = (uintptr_t)page, .arr = frames, .err = errors};
    if (ioctl(device, IOCTL_PRIVCMD_MMAPBATCH_V2, &batch) != 0 || errors[0] != 0) {
        errno = errors[0] != 0 ? -errors[0] : errno;
        fail("privcmd refuses the frame");
    }
    return page;
}

static void tell(const char* what, const volatile uint64_t* words) {
    int same = 1;
    for (int i = 0; i < kPage / 8; i++)
        same &= words[i] == kPattern;
    if (same) {
        printf("%s pattern\n", what);
    } else {
        printf("%s %llx\n", what, (unsigned long long)words[0]);
    }
    fflush(stdout);
}

int main(int count, char** arguments) {
    if (count != 4) {
        fprintf(stderr, "hold gntdev DOMAIN REF | hold privcmd DOMAIN FRAME\n");
        return 2;
    }
    int by_grant = strcmp(arguments[1], "gntdev") == 0;
    int device = open(by_grant ? "/dev/xen/gntdev" : "/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if (device < 0) fail("the device");
    uint32_t domain = (uint32_t)strtoul(arguments[2], NULL, 10);
    uint64_t number = strtoull(arguments[3], NULL, 10);
    void* page = by_grant ? map_grant(device, domain, (uint32_t)number) : map_frame(device, domain, number);
    if (page == MAP_FAILED) fail("mmap");
    tell("holds", page);
    char line[64];
    while (fgets(line, sizeof line, stdin) != NULL)
        tell("still", page);
    if (munmap(page, kPage) != 0) fail("munmap");
    close(device);
    printf("released\n");
    return 0;
}
