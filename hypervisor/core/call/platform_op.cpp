// platform_op (public platform.h): what the control domain's kernel does to a machine, where the hypervisor
// has a say in it. Everything else is answered as a Xen that was built without it would answer.
#include <torii/abi/platform.h>

#include "core/call/guest_ptr.h"
#include "core/call/handlers.h"
#include "core/call/platform_firmware.h"
#include "core/call/platform_hooks.h"
#include "core/call/wall_clock.h"
#include "core/domain/domain.h"
#include "port/machine.h"

namespace torii::call {
namespace {

using abi::PlatformCommand;
using abi::PlatformOp;

struct PlatformCall {
    GuestInOut<PlatformOp> pointer;
    PlatformOp request;

    [[nodiscard]] CallResult answer() const {
        TRY(pointer.copy_out(request));
        return 0;
    }
};

// The time of day at `system_time`, from which follows what it was at zero.
CallResult set_time(uint64_t seconds, uint32_t nanoseconds, uint64_t system_time) {
    constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;
    if (nanoseconds >= kNanosecondsPerSecond || seconds > ~uint64_t{0} / kNanosecondsPerSecond - 1)
        return Errno::kEINVAL;
    const uint64_t epoch = seconds * kNanosecondsPerSecond + nanoseconds;
    if (epoch < system_time) return Errno::kEINVAL;
    set_wall_clock(epoch - system_time);
    publish_wall_clock_everywhere();
    return 0;
}

CallResult read_memtype(PlatformCall& call) {
    auto& request = call.request.u.read_memtype;
    if (platform.memory_type == nullptr) return Errno::kEINVAL;
    const MemoryTypeRange range = TRY(platform.memory_type(request.reg));
    request.mfn = range.first.raw();
    request.nr_mfns = range.frames;
    request.type = range.type;
    return call.answer();
}

CallResult enter_acpi_sleep(const PlatformCall& call) {
    const auto& request = call.request.u.enter_acpi_sleep;
    if ((request.flags & ~abi::kAcpiSleepExtended) != 0 || request.sleep_state > 5) return Errno::kEINVAL;
    if (platform.enter_sleep == nullptr) return Errno::kENODEV;
    TRY(platform.enter_sleep({.value_a = request.val_a,
                              .value_b = request.val_b,
                              .state = request.sleep_state,
                              .extended = (request.flags & abi::kAcpiSleepExtended) != 0}));
    return 0;
}

// For each CPU in the caller's bitmap its idle time; bits of CPUs that don't exist are cleared.
CallResult get_idle_time(PlatformCall& call) {
    auto& request = call.request.u.getidletime;
    const GuestArray<uint8_t> bitmap(request.cpumap_bitmap);
    const GuestArray<uint64_t> times(request.idletime);
    request.now = now();
    for (uint32_t byte = 0; byte < (uint64_t{request.cpumap_nr_cpus} + 7) / 8 && byte * 8 < cpu_count();
         ++byte) {
        uint8_t bits = 0;
        TRY(bitmap.read(byte, bits));
        for (uint32_t bit = 0; bit < 8; ++bit) {
            const uint32_t cpu = byte * 8 + bit;
            if (((bits >> bit) & 1) == 0) continue;
            if (cpu >= cpu_count() || cpu >= request.cpumap_nr_cpus) {
                bits &= static_cast<uint8_t>(~(1u << bit));
                continue;
            }
            TRY(times.write(cpu, idle_time_of(CpuId(cpu))));
        }
        TRY(bitmap.write(byte, bits));
    }
    return call.answer();
}

CallResult get_cpu_info(PlatformCall& call) {
    auto& request = call.request.u.pcpu_info;
    request.max_present = cpu_count() - 1;
    if (request.xen_cpuid >= cpu_count()) {
        request.flags = abi::kPcpuFlagInvalid;
        request.apic_id = ~0u;
        request.acpi_id = ~0u;
    } else {
        const CpuIdentity identity = identity_of(CpuId(request.xen_cpuid));
        request.flags = abi::kPcpuFlagOnline;
        request.apic_id = identity.apic_id;
        request.acpi_id = identity.acpi_id;
    }
    return call.answer();
}

// All cores work; none may be sent to sleep.
CallResult core_parking(PlatformCall& call) {
    auto& request = call.request.u.core_parking;
    if (request.type == abi::kCoreParkingSet) return request.idle_nums == 0 ? CallResult(0) : Errno::kEBUSY;
    if (request.type != abi::kCoreParkingGet) return Errno::kEINVAL;
    request.idle_nums = 0;
    return call.answer();
}

}  // namespace

CallResult platform_op(CallContext& context) {
    PlatformCall call{GuestInOut<PlatformOp>(context.arg<0>()), {}};
    TRY(call.pointer.copy_in(call.request));
    const auto& u = call.request.u;
    if (call.request.interface_version != abi::kPlatformInterfaceVersion) return Errno::kEACCES;
    switch (static_cast<PlatformCommand>(call.request.cmd)) {
        case PlatformCommand::kSettime32:
            return set_time(u.settime32.secs, u.settime32.nsecs, u.settime32.system_time);
        case PlatformCommand::kSettime64:
            if (u.settime64.mbz != 0) return Errno::kEINVAL;
            return set_time(u.settime64.secs, u.settime64.nsecs, u.settime64.system_time);
        case PlatformCommand::kReadMemtype:
            return read_memtype(call);
        case PlatformCommand::kFirmwareInfo:
            TRY(firmware_info(call.request.u.firmware_info));
            return call.answer();
        case PlatformCommand::kEfiRuntimeCall:
            TRY(efi_runtime_call(call.request.u.efi_call));
            return call.answer();
        case PlatformCommand::kEnterAcpiSleep:
            return enter_acpi_sleep(call);
        case PlatformCommand::kGetidletime:
            return get_idle_time(call);
        case PlatformCommand::kGetCpuinfo:
            return get_cpu_info(call);
        case PlatformCommand::kCoreParking:
            return core_parking(call);
        // The control domain's tables of power states: accepted, and not used, as CPUs idle by `hlt` alone.
        case PlatformCommand::kSetProcessorPminfo:
            return 0;
        case PlatformCommand::kCpuOnline:
        case PlatformCommand::kCpuOffline:
            return Errno::kEBUSY;
        default:
            return Errno::kENOSYS;
    }
}

}  // namespace torii::call
