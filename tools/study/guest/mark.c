// mark TEXT...: one line with the time stamp counter and the kernel's clock. In a control domain also each
// domain's consumed CPU time in nanoseconds (dN=) and the hypervisor's memory; under icount the first counts
// the instructions executed while that domain held the processor, the hypervisor's work on its behalf
// included.
#define _GNU_SOURCE
#define __XEN_TOOLS__ 1
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <x86intrin.h>
#include <xen/domctl.h>
#include <xen/sys/privcmd.h>
#include <xen/sysctl.h>
#include <xen/xen.h>

enum { kMaxDomains = 16 };

static struct {
    struct xen_sysctl call;
    struct xen_domctl_getdomaininfo domains[kMaxDomains];
} request __attribute__((aligned(4096)));

static int issue(int device, uint32_t command) {
    privcmd_hypercall_t hypercall = {__HYPERVISOR_sysctl, {(uintptr_t)&request.call}};
    request.call.cmd = command;
    request.call.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    return ioctl(device, IOCTL_PRIVCMD_HYPERCALL, &hypercall);
}

static void print_domains(int device) {
    memset(&request, 0, sizeof request);
    request.call.u.getdomaininfolist.max_domains = kMaxDomains;
    set_xen_guest_handle_raw(request.call.u.getdomaininfolist.buffer, request.domains);
    if (issue(device, XEN_SYSCTL_getdomaininfolist) != 0) return;
    for (uint32_t i = 0; i < request.call.u.getdomaininfolist.num_domains && i < kMaxDomains; i++)
        printf(" d%u=%llu pages%u=%llu", request.domains[i].domain,
               (unsigned long long)request.domains[i].cpu_time, request.domains[i].domain,
               (unsigned long long)request.domains[i].tot_pages);
}

static void print_memory(int device) {
    memset(&request, 0, sizeof request);
    if (issue(device, XEN_SYSCTL_physinfo) != 0) return;
    printf(" total_pages=%llu free_pages=%llu scrub_pages=%llu",
           (unsigned long long)request.call.u.physinfo.total_pages,
           (unsigned long long)request.call.u.physinfo.free_pages,
           (unsigned long long)request.call.u.physinfo.scrub_pages);
}

int main(int count, char** arguments) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    unsigned long long stamp = __rdtsc();
    printf("MARK");
    for (int i = 1; i < count; i++)
        printf(" %s", arguments[i]);
    printf(" tsc=%llu mono_ms=%lld", stamp, (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    int device = open("/dev/xen/privcmd", O_RDWR);
    if (device >= 0) {
        mlock(&request, sizeof request);
        print_domains(device);
        print_memory(device);
    }
    printf("\n");
    return 0;
}
