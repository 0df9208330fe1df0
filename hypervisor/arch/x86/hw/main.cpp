// The way from the boot loader to dom0, in order.
#include <cstddef>
#include <new>

#include "arch/x86/hw/acpi.h"
#include "arch/x86/hw/apic.h"
#include "arch/x86/hw/boot_info.h"
#include "arch/x86/hw/clock.h"
#include "arch/x86/hw/cpu.h"
#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/dom0_build.h"
#include "arch/x86/hw/guest_view.h"
#include "arch/x86/hw/idle.h"
#include "arch/x86/hw/interrupts.h"
#include "arch/x86/hw/io_apic.h"
#include "arch/x86/hw/layout.h"
#include "arch/x86/hw/memory_setup.h"
#include "arch/x86/hw/options.h"
#include "arch/x86/hw/paging.h"
#include "arch/x86/hw/power.h"
#include "arch/x86/hw/registers.h"
#include "arch/x86/hw/serial.h"
#include "arch/x86/hw/smp.h"
#include "arch/x86/hw/speculation.h"
#include "arch/x86/hw/topology.h"
#include "arch/x86/hw/watchdog.h"
#include "arch/x86/pv/guest_cpuid.h"
#include "base/log.h"
#include "core/call/boot_options.h"
#include "core/call/counters.h"
#include "core/call/wall_clock.h"
#include "core/domain/time.h"
#include "core/domain/vcpu_run.h"
#include "core/interrupt/interrupts.h"
#include "core/memory/allocator.h"
#include "core/memory/heap.h"
#include "core/memory/machine_map.h"
#include "core/sched/scheduler.h"
#include "port/frames.h"
#include "port/machine.h"

extern "C" {
extern uint32_t boot_loader_magic, boot_loader_information;
extern char image_start[], boot_start[], boot_end[];
}

namespace torii {

namespace hw {
namespace {

constexpr CpuId kBootCpu{0};

// Stands in for the CPU's own until its area exists.
constinit CpuCounters boot_cpu_counters{};
[[gnu::section(".boot.data")]] constinit CpuLocal early_local;
BootInformation boot_information;
constinit Topology topology;

void start_memory() {
    direct_map = {reinterpret_cast<unsigned char*>(TORII_DIRECT_MAP), uint64_t{1} << (32 - kPageShift)};
    boot_information = read_boot_information(boot_loader_magic, MachineAddr(boot_loader_information));
    boot_options.command_line = boot_information.command_line;
    parse_options(boot_information.command_line);
    if (options.serial_console) serial_start(options.com1_port, options.com1_baud);
    log(LogLevel::kInfo, "Torii {}", kSourceRevision);
    if (boot_information.problem != nullptr) BUG(boot_information.problem);
    log(LogLevel::kInfo, "{} MiB of RAM, {} modules, command line: {}", boot_memory_map.ram_frames >> 8,
        boot_information.module_count, boot_information.command_line);
    decide_speculation(options.speculation);
    set_up_memory(boot_information, options.direct_map_limit);
    log(LogLevel::kInfo, "{} frames free of {}", free_frame_count(), boot_memory_map.ram_frames);
}

void start_platform_hooks() {
    platform.enter_sleep = enter_sleep;
    platform.cpu_khz = static_cast<uint32_t>(tsc_khz());
    topology = read_topology([](uint32_t leaf, uint32_t subleaf) { return cpuid(leaf, subleaf); });
    platform.threads_per_core = topology.threads_per_core();
    platform.cores_per_socket = topology.cores_per_package();
    platform.identify_cpu = [](CpuId cpu) {
        const uint32_t id = local_of(cpu).apic_id;
        return CpuIdentity{.apic_id = id,
                           .acpi_id = cpu.raw(),
                           .core = topology.core_of(id),
                           .socket = topology.package_of(id),
                           .node = 0};
    };
}

void start_policies() {
    const pv::HostCpuid host = read_host_cpuid();
    pv::PolicyOptions wishes;
    wishes.xcr0 = features.xcr0;
    uint8_t bits = 0;
    while ((boot_memory_map.end_of_ram.raw() << kPageShift) >> bits != 0)
        ++bits;
    wishes.machine_address_bits = bits;
    pv::make_policies(host, wishes, static_cast<uint32_t>(tsc_khz()));
}

// On the idle stack, everything set up. Boot memory is given back here, since nothing runs in it any more.
[[noreturn]] void run() {
    release_modules(boot_information);
    release_boot_memory();
    log(LogLevel::kInfo, "{} KiB resident, {} KiB of boot code given back",
        static_cast<uint64_t>(boot_start - image_start) >> 10,
        static_cast<uint64_t>(boot_end - boot_start) >> 10);
    const DomainRef dom0(find_domain(kDom0));
    start_watchdog();
    start_vcpu(*dom0->vcpu(VcpuId(0)));
    unpause_domain(*dom0);
    idle();
}

}  // namespace

extern "C" [[noreturn]] void boot_main() {
    my_stack_top().cpu = &early_local;
    early_local.counters = &boot_cpu_counters;
    detect_features();
    start_memory();
    build_interrupt_table();
    build_cpu_area(kBootCpu);
    CpuLocal& boot_cpu = *new (&local_of(kBootCpu)) CpuLocal;
    boot_cpu.id = kBootCpu;
    boot_cpu.counters = &boot_cpu_counters;
    set_up_cpu(kBootCpu);
    // From here on the CPU's own stack is the one for traps; the boot stack knows its CPU too.
    my_stack_top().cpu = &boot_cpu;
    if (speculation.isolate_guests) build_guest_views(kBootCpu);
    acpi_start(boot_information.rsdp);
    start_clock();
    apic_start();
    boot_cpu.apic_id = apic_id();
    io_apic_start();
    set_wall_clock(wall_clock_seconds() * 1'000'000'000 - now());
    start_platform_hooks();
    start_policies();
    prepare_scheduler(kBootCpu);
    sched_cpu_is_up(kBootCpu);
    start_other_cpus(options.most_cpus);
    if (!device_interrupts.start().ok()) BUG("no memory for the vectors of device interrupts");
    (void)build_dom0(boot_information);
    route_isa_interrupt(4, kVectorSerial);
    if (options.serial_console) serial_enable_input();
    const uint64_t idle_stack =
        area_of(kBootCpu) + TORII_AREA_IDLE_STACK + TORII_STACK_SIZE - sizeof(StackTop);
    asm volatile("movq %0, %%rsp; xorl %%ebp, %%ebp; call *%1" : : "r"(idle_stack), "r"(run));
    __builtin_unreachable();
}

}  // namespace hw
}  // namespace torii
