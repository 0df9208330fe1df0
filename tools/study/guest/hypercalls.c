// Micro-benchmark of hypercalls from a control domain, through /dev/xen/privcmd: `hypercalls TAG` prints
//   HC TAG name rc=RESULT min=TICKS med=TICKS net=TICKS
// where `net` is without the way from user space to the driver and back ("ioctl_bad").
#define _GNU_SOURCE
#define __XEN_TOOLS__ 1
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <xen/domctl.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/sys/evtchn.h>
#include <xen/sys/privcmd.h>
#include <xen/sysctl.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include <xen/xen.h>

#include "timing.h"

enum { kCount = 2000, kBufferSize = 65536 };
static const char* tag = "?";
static int privcmd;
static double way_there;
static char buffer[kBufferSize] __attribute__((aligned(4096)));

static long call(unsigned long number, unsigned long a, unsigned long b, unsigned long c, unsigned long d) {
    privcmd_hypercall_t hypercall = {number, {a, b, c, d, 0}};
    long result = ioctl(privcmd, IOCTL_PRIVCMD_HYPERCALL, &hypercall);
    return result < 0 ? -errno : result;
}

static void measure(const char* name, long count, long (*step)(void)) {
    uint64_t batches[kBatches];
    long result = 0;
    for (long i = 0; i < count / 4 + 1; i++)
        result = step();
    for (int b = 0; b < kBatches; b++) {
        uint64_t start = ticks();
        for (long i = 0; i < count; i++)
            result = step();
        batches[b] = ticks() - start;
    }
    qsort(batches, kBatches, sizeof batches[0], compare_ticks);
    double best = (double)batches[0] / (double)count;
    if (way_there == 0) way_there = best;
    REPORT("HC %s %s rc=%ld min=%.1f med=%.1f net=%.1f\n", tag, name, result, best,
           (double)batches[kBatches / 2] / (double)count, best - way_there);
}

// --- calls without state

static long ioctl_bad(void) {
    return ioctl(privcmd, 0xdead, 0) < 0 ? -errno : 0;
}
static long no_such_call(void) {
    return call(60, 0, 0, 0, 0);
}
static long xen_version(void) {
    return call(__HYPERVISOR_xen_version, XENVER_version, 0, 0, 0);
}
static long xen_features(void) {
    ((struct xen_feature_info*)buffer)->submap_idx = 0;
    return call(__HYPERVISOR_xen_version, XENVER_get_features, (uintptr_t)buffer, 0, 0);
}
static long yield(void) {
    return call(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, 0);
}
static long vcpu_is_up(void) {
    return call(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 0, 0, 0);
}
static long get_debug_register(void) {
    return call(__HYPERVISOR_get_debugreg, 7, 0, 0, 0);
}
static long reservation(void) {
    *(domid_t*)buffer = DOMID_SELF;
    return call(__HYPERVISOR_memory_op, XENMEM_current_reservation, (uintptr_t)buffer, 0, 0);
}
static long flush_local(void) {
    struct mmuext_op operation = {.cmd = MMUEXT_TLB_FLUSH_LOCAL};
    memcpy(buffer, &operation, sizeof operation);
    return call(__HYPERVISOR_mmuext_op, (uintptr_t)buffer, 1, 0, DOMID_SELF);
}
static long invalidate_page(void) {
    struct mmuext_op operation = {.cmd = MMUEXT_INVLPG_LOCAL, .arg1.linear_addr = (uintptr_t)buffer};
    memcpy(buffer, &operation, sizeof operation);
    return call(__HYPERVISOR_mmuext_op, (uintptr_t)buffer, 1, 0, DOMID_SELF);
}
static long multicall_1(void) {
    return call(__HYPERVISOR_multicall, (uintptr_t)buffer, 1, 0, 0);
}
static long multicall_16(void) {
    return call(__HYPERVISOR_multicall, (uintptr_t)buffer, 16, 0, 0);
}
static long multicall_64(void) {
    return call(__HYPERVISOR_multicall, (uintptr_t)buffer, 64, 0, 0);
}
static long console_nothing(void) {
    return call(__HYPERVISOR_console_io, CONSOLEIO_write, 0, (uintptr_t)buffer, 0);
}
static long domain_info(void) {
    struct xen_domctl* operation = (struct xen_domctl*)buffer;
    operation->cmd = XEN_DOMCTL_getdomaininfo;
    operation->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    operation->domain = 0;
    return call(__HYPERVISOR_domctl, (uintptr_t)buffer, 0, 0, 0);
}
static long physical_info(void) {
    struct xen_sysctl* operation = (struct xen_sysctl*)buffer;
    operation->cmd = XEN_SYSCTL_physinfo;
    operation->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    return call(__HYPERVISOR_sysctl, (uintptr_t)buffer, 0, 0, 0);
}

static void measure_plain_calls(void) {
    measure("ioctl_bad", kCount, ioctl_bad);
    measure("enosys_op60", kCount, no_such_call);
    measure("xen_version", kCount, xen_version);
    measure("xen_version_features", kCount, xen_features);
    measure("sched_yield", kCount, yield);
    measure("vcpu_is_up", kCount, vcpu_is_up);
    measure("get_debugreg7", kCount, get_debug_register);
    measure("memory_current_reservation", kCount, reservation);
    measure("mmuext_tlb_flush_local", kCount, flush_local);
    measure("mmuext_invlpg_local", kCount, invalidate_page);
    multicall_entry_t* entries = (multicall_entry_t*)buffer;
    memset(buffer, 0, sizeof buffer);
    for (int i = 0; i < 64; i++)
        entries[i].op = __HYPERVISOR_xen_version;
    measure("multicall_1", kCount, multicall_1);
    measure("multicall_16", kCount, multicall_16);
    measure("multicall_64", kCount / 4, multicall_64);
    measure("console_io_write_0", kCount, console_nothing);
    memset(buffer, 0, sizeof buffer);
    measure("domctl_getdomaininfo", kCount, domain_info);
    memset(buffer, 0, sizeof buffer);
    measure("sysctl_physinfo", kCount, physical_info);
}

// --- event channels: a pair of ports, both ends this domain's

static int event_device;
static evtchn_port_t near_port, far_port;

static long port_status(void) {
    struct evtchn_status status = {.dom = DOMID_SELF, .port = near_port};
    memcpy(buffer, &status, sizeof status);
    return call(__HYPERVISOR_event_channel_op, EVTCHNOP_status, (uintptr_t)buffer, 0, 0);
}
// Send on the far port, upcall, interrupt of the near port (which the driver leaves masked), read, write
// (which unmasks).
static long send_and_take(void) {
    struct ioctl_evtchn_notify notify = {far_port};
    uint32_t port;
    ioctl(event_device, IOCTL_EVTCHN_NOTIFY, &notify);
    if (read(event_device, &port, sizeof port) != sizeof port) return -EIO;
    return write(event_device, &port, sizeof port) == sizeof port ? 0 : -EIO;
}
static long read_nothing(void) {
    uint32_t port;
    return read(event_device, &port, sizeof port);
}
static long send_pending(void) {
    struct evtchn_send send = {far_port};
    memcpy(buffer, &send, sizeof send);
    return call(__HYPERVISOR_event_channel_op, EVTCHNOP_send, (uintptr_t)buffer, 0, 0);
}
static long unmask_idle(void) {
    struct evtchn_unmask unmask = {far_port};
    memcpy(buffer, &unmask, sizeof unmask);
    return call(__HYPERVISOR_event_channel_op, EVTCHNOP_unmask, (uintptr_t)buffer, 0, 0);
}
static long allocate_and_close(void) {
    struct evtchn_alloc_unbound allocate = {.dom = DOMID_SELF, .remote_dom = 0};
    memcpy(buffer, &allocate, sizeof allocate);
    long result = call(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, (uintptr_t)buffer, 0, 0);
    if (result != 0) return result;
    struct evtchn_close close_port = {((struct evtchn_alloc_unbound*)buffer)->port};
    memcpy(buffer, &close_port, sizeof close_port);
    return call(__HYPERVISOR_event_channel_op, EVTCHNOP_close, (uintptr_t)buffer, 0, 0);
}
static void drain_events(void) {
    uint32_t port;
    while (read(event_device, &port, sizeof port) == sizeof port)
        if (write(event_device, &port, sizeof port) != sizeof port) return;
}

static void measure_events(void) {
    event_device = open("/dev/xen/evtchn", O_RDWR | O_NONBLOCK);
    struct ioctl_evtchn_bind_unbound_port unbound = {0};
    int first = event_device < 0 ? -1 : ioctl(event_device, IOCTL_EVTCHN_BIND_UNBOUND_PORT, &unbound);
    struct ioctl_evtchn_bind_interdomain pair = {0, (unsigned)first};
    int second = first > 0 ? ioctl(event_device, IOCTL_EVTCHN_BIND_INTERDOMAIN, &pair) : -1;
    if (second <= 0) {
        REPORT("HC %s note no event channel pair: %s\n", tag, strerror(errno));
        return;
    }
    near_port = (evtchn_port_t)first;
    far_port = (evtchn_port_t)second;
    drain_events();
    measure("evtchn_status", kCount, port_status);
    measure("evtchn_send_upcall_read_unmask", kCount, send_and_take);
    measure("evtchn_read_empty", kCount, read_nothing);
    send_pending();
    measure("evtchn_send_masked_pending", kCount, send_pending);
    measure("evtchn_unmask_idle", kCount, unmask_idle);
    measure("evtchn_alloc_close", kCount, allocate_and_close);
    drain_events();
}

// --- grants: two pages that this domain grants to itself

struct grant_allocation {  // the driver's struct ioctl_gntalloc_alloc_gref with room for two references
    uint16_t domid, flags;
    uint32_t count;
    uint64_t index;
    uint32_t reference[2];
};
#define IOCTL_GNTALLOC_ALLOC_GREF _IOC(_IOC_NONE, 'G', 5, 24)
static struct grant_allocation grants;
static int last_status;

static void prepare_copies(uint16_t length) {
    struct gnttab_copy* copies = (struct gnttab_copy*)buffer;
    memset(buffer, 0, 16 * sizeof *copies);
    for (int i = 0; i < 16; i++) {
        copies[i].source.u.ref = grants.reference[0];
        copies[i].dest.u.ref = grants.reference[1];
        copies[i].len = length;
        copies[i].flags = GNTCOPY_source_gref | GNTCOPY_dest_gref;
    }
}
static long copy_one(void) {
    return call(__HYPERVISOR_grant_table_op, GNTTABOP_copy, (uintptr_t)buffer, 1, 0);
}
static long copy_sixteen(void) {
    return call(__HYPERVISOR_grant_table_op, GNTTABOP_copy, (uintptr_t)buffer, 16, 0);
}
static long map_and_unmap(void) {
    struct gnttab_map_grant_ref* map = (struct gnttab_map_grant_ref*)buffer;
    memset(map, 0, sizeof *map);
    map->flags = GNTMAP_device_map;
    map->ref = grants.reference[0];
    call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, (uintptr_t)map, 1, 0);
    if (map->status != 0) last_status = map->status;
    struct gnttab_unmap_grant_ref* unmap = (struct gnttab_unmap_grant_ref*)(buffer + 4096);
    memset(unmap, 0, sizeof *unmap);
    unmap->dev_bus_addr = map->dev_bus_addr;
    unmap->handle = map->handle;
    return call(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, (uintptr_t)unmap, 1, 0);
}

static void measure_grants(void) {
    int device = open("/dev/xen/gntalloc", O_RDWR);
    grants = (struct grant_allocation){.domid = 0, .flags = 1, .count = 2};
    if (device < 0 || ioctl(device, IOCTL_GNTALLOC_ALLOC_GREF, &grants) != 0) {
        REPORT("HC %s note no grants: %s\n", tag, strerror(errno));
        return;
    }
    char* pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)grants.index);
    if (pages == MAP_FAILED) {
        REPORT("HC %s note granted pages can't be mapped: %s\n", tag, strerror(errno));
        return;
    }
    memset(pages, 0x5a, 4096);
    prepare_copies(4096);
    measure("gnttab_copy_4K", 500, copy_one);
    REPORT("HC %s note copied=%d\n", tag, pages[8191] == 0x5a);
    measure("gnttab_copy_4K_x16", 100, copy_sixteen);
    prepare_copies(64);
    measure("gnttab_copy_64B", 500, copy_one);
    measure("gnttab_map_unmap_dev", 500, map_and_unmap);
    REPORT("HC %s note map status=%d\n", tag, last_status);
}

int main(int count, char** arguments) {
    if (count > 1) tag = arguments[1];
    privcmd = open("/dev/xen/privcmd", O_RDWR);
    if (privcmd < 0) {
        perror("/dev/xen/privcmd");
        return 1;
    }
    mlockall(MCL_CURRENT | MCL_FUTURE);
    measure_plain_calls();
    measure_events();
    measure_grants();
    print_report();
    printf("HC %s end\n", tag);
    return 0;
}
