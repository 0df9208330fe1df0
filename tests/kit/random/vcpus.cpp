// Scheduling, vCPUs, time.
#include <torii/abi/sched.h>
#include <torii/abi/trap.h>
#include <torii/abi/vcpu.h>

#include "core/sched/scheduler.h"
#include "kit/random/world.h"

namespace torii::test {
namespace {

constexpr uint64_t kHandler = 0xffff'ffff'8100'0000;

}  // namespace

// Domains here are always paused, so whoever gives up the CPU has it back at once.
void RandomWorld::sched() {
    HostedDomain& domain = caller();
    const auto op = [](abi::SchedOp operation) { return static_cast<uint64_t>(operation); };
    const abi::RawPort ports[2] = {pick(kPorts), pick(kPorts)};
    const abi::SchedPoll poll{{address(ports)}, 1 + pick(2), 0, fakes::machine().time() + pick(1000)};
    const abi::SchedPinOverride pin{static_cast<int32_t>(pick(5)) - 1};
    const abi::SchedShutdown code{pick(6)};
    const abi::SchedWatchdog watchdog{chance(60) ? 0 : pick(3), 1 + pick(100)};
    switch (pick(6)) {
        case 0:
            (void)call(domain, "yield", Number::kSchedOp, {op(abi::SchedOp::kYield), 0});
            return;
        case 1:
            // Somebody has to go on until the end.
            if (builds_guests_ && !is_alone()) return;
            (void)call(domain, "block", Number::kSchedOp, {op(abi::SchedOp::kBlock), 0});
            return;
        case 2:
            (void)call(domain, "poll", Number::kSchedOp, {op(abi::SchedOp::kPoll), address(poll)});
            return;
        case 3:
            (void)call(caller_with_rights(), "pin_override", Number::kSchedOp,
                       {op(abi::SchedOp::kPinOverride), address(pin)});
            return;
        case 4:
            // The control domain's would end the machine.
            if (HostedDomain& other = calling_guest(); other.id() != kDom0)
                (void)call(other, "watchdog", Number::kSchedOp,
                           {op(abi::SchedOp::kWatchdog), address(watchdog)});
            return;
        default:
            (void)call(calling_guest(), "shutdown_code", Number::kSchedOp,
                       {op(abi::SchedOp::kShutdownCode), address(code)});
    }
}

void RandomWorld::vcpu() {
    HostedDomain& domain = caller();
    const auto vcpu_op = [&](const char* name, abi::VcpuOp operation, const void* argument, uint32_t id = 0) {
        (void)call(domain, name, Number::kVcpuOp,
                   {static_cast<uint64_t>(operation), id, reinterpret_cast<uint64_t>(argument)});
    };
    static thread_local abi::VcpuRunstateInfo runstate;  // written to whenever it likes
    static thread_local abi::VcpuTimeInfo time;
    const abi::VcpuRegisterRunstateMemoryArea runstate_area{{chance(80) ? address(runstate) : 0}};
    const abi::VcpuRegisterTimeMemoryArea time_area{{address(time)}};
    const abi::VcpuSetPeriodicTimer period{chance(80) ? 1'000'000u + pick(1000) : pick(1000)};
    const abi::VcpuSetSingleshotTimer oneshot{fakes::machine().time() + pick(5000), 0, 0};
    const abi::VcpuRegisterVcpuInfo info{unused_frame(domain).raw(), pick(8) * 64, 0};
    switch (pick(10)) {
        case 0:
            return vcpu_op("vcpu is_up", abi::VcpuOp::kIsUp, nullptr, pick(3));
        case 1:
            return vcpu_op("vcpu runstate", abi::VcpuOp::kGetRunstateInfo, &runstate, pick(2));
        case 2:
            return vcpu_op("vcpu runstate area", abi::VcpuOp::kRegisterRunstateMemoryArea, &runstate_area);
        case 3:
            return vcpu_op("vcpu time area", abi::VcpuOp::kRegisterVcpuTimeMemoryArea, &time_area, pick(2));
        case 4:
            return vcpu_op("vcpu period", abi::VcpuOp::kSetPeriodicTimer, &period, pick(2));
        case 5:
            return vcpu_op("vcpu stop period", abi::VcpuOp::kStopPeriodicTimer, nullptr, pick(2));
        case 6:
            return chance(50) ? vcpu_op("vcpu oneshot", abi::VcpuOp::kSetSingleshotTimer, &oneshot)
                              : vcpu_op("vcpu stop oneshot", abi::VcpuOp::kStopSingleshotTimer, nullptr);
        case 7:
            return vcpu_op("vcpu register info", abi::VcpuOp::kRegisterVcpuInfo, &info, pick(2));
        case 8:
            return vcpu_op("vcpu send nmi", abi::VcpuOp::kSendNmi, nullptr, pick(2));
        default:
            (void)call(domain, "set_timer_op", Number::kSetTimerOp, {fakes::machine().time() + pick(5000)});
    }
}

// The second vCPU gets a context, which holds page tables and descriptor pages, and comes and goes.
void RandomWorld::second_vcpu() {
    HostedDomain& domain = caller();
    const auto op = [](abi::VcpuOp operation) { return static_cast<uint64_t>(operation); };
    const unsigned choice = pick(4);
    if (choice == 0) return (void)call(domain, "vcpu up", Number::kVcpuOp, {op(abi::VcpuOp::kUp), 1, 0});
    if (choice == 1) {
        // The last one to go down takes its domain along.
        if (domain.id() == kDom0) return;
        return (void)call(domain, "vcpu down", Number::kVcpuOp, {op(abi::VcpuOp::kDown), 1, 0});
    }
    static thread_local abi::VcpuGuestContext context;
    context = {};
    context.flags = abi::kVgcfInKernel;
    context.user_regs.rip = kHandler;
    context.user_regs.cs = 0xe033;
    context.kernel_ss = 0xe02b;
    context.kernel_sp = kHandler;
    context.ctrlreg[3] = abi::cr3_from_mfn(frame_of_type(domain, FrameType::kL4).raw());
    if (chance(50)) context.ctrlreg[3] = abi::cr3_from_mfn(domain.vcpu().pv.kernel_root.raw());
    if (chance(30)) context.ctrlreg[1] = abi::cr3_from_mfn(frame_of_type(domain, FrameType::kL4).raw());
    if (chance(40)) {
        context.gdt_frames[0] = unused_frame(domain).raw();
        (void)make_writable(domain, Mfn(context.gdt_frames[0]));
        context.gdt_ents = 512;
    }
    if (choice == 2) {
        (void)call(domain, "vcpu initialise", Number::kVcpuOp,
                   {op(abi::VcpuOp::kInitialise), 1, address(context)});
        return;
    }
    if (domain.id() == kDom0) return;
    if (!is_alone()) return;
    abi::Domctl request = domctl_request(abi::DomctlCommand::kSetvcpucontext, domain.id());
    request.u.vcpucontext = {1, 0, {address(context)}};
    (void)domctl("setvcpucontext", request);
}

void RandomWorld::pass_time() {
    fakes::machine().advance(pick(4000));
    if (!is_alone()) return;  // each CPU looks at its own timers
    const unsigned cpu = pick(kSlots);
    fakes::Machine::set_current(nullptr, CpuId(cpu));
    cpu_scheduler(CpuId(cpu)).timers.expire(fakes::machine().time());
    fakes::Machine::set_current(nullptr);
}

// A guest ends itself; the control domain finds it stopped.
void RandomWorld::stop_guest() {
    HostedDomain& domain = may_control() && chance(50) ? guest() : calling_guest();
    if (domain.id() == kDom0) return;
    const abi::SchedShutdown own{pick(4)};
    const abi::SchedRemoteShutdown other{domain.id().raw(), 0, pick(4)};
    if (is_own(domain) && chance(60)) {
        (void)call(domain, "shutdown", Number::kSchedOp,
                   {static_cast<uint64_t>(abi::SchedOp::kShutdown), address(own)});
        return;
    }
    (void)call(caller_with_rights(), "remote_shutdown", Number::kSchedOp,
               {static_cast<uint64_t>(abi::SchedOp::kRemoteShutdown), address(other)});
}

}  // namespace torii::test
