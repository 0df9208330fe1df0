// What the control domain does: it builds guests, asks about them, ends them.
#include <gtest/gtest.h>
#include <torii/abi/machine_check.h>
#include <torii/abi/memory.h>
#include <torii/abi/platform.h>
#include <torii/abi/sysctl.h>
#include <torii/abi/trap.h>

#include <cstring>

#include "base/once.h"
#include "kit/random/world.h"

namespace torii::test {
namespace {

using abi::DomctlCommand;

constexpr uint32_t kLimitAboveFrames = 100;

// A request with nothing in it but its head.
template <class Request, class RequestCommand>
Request with_command(RequestCommand command, uint32_t version) {
    Request request;
    memset(static_cast<void*>(&request), 0, sizeof(request));
    request.cmd = static_cast<uint32_t>(command);
    request.interface_version = version;
    return request;
}

}  // namespace

abi::Domctl RandomWorld::domctl_request(DomctlCommand command, DomId about) {
    auto request = with_command<abi::Domctl>(command, abi::kDomctlInterfaceVersion);
    request.domain = about.raw();
    return request;
}

int64_t RandomWorld::domctl(const char* name, abi::Domctl& request, unsigned most) {
    HostedDomain& by = caller_with_rights();
    const int64_t result = by.hypercall(Number::kDomctl, {address(request)}, most);
    if (by.unfinished) {
        ++unfinished_calls;
    } else {
        note(name, Number::kDomctl, result);
    }
    return result;
}

void RandomWorld::control_guest() {
    HostedDomain& about = guest();
    if (!may_control() || about.id() == kDom0) return;
    abi::Domctl request = domctl_request(DomctlCommand::kPausedomain, about.id());
    switch (pick(7)) {
        case 0:
            // Always in pairs, so that the domain never runs.
            (void)domctl("pausedomain", request);
            request.cmd = static_cast<uint32_t>(DomctlCommand::kUnpausedomain);
            (void)domctl("unpausedomain", request);
            return;
        case 1:
            request.cmd = static_cast<uint32_t>(DomctlCommand::kMaxMem);
            request.u.max_mem.max_memkb = (kFrames + kLimitAboveFrames) * 4;
            (void)domctl("max_mem", request);
            return;
        case 2:
            request.cmd = static_cast<uint32_t>(DomctlCommand::kMaxVcpus);
            request.u.max_vcpus.max = 2;
            (void)domctl("max_vcpus", request);
            return;
        case 3:
            request.cmd = static_cast<uint32_t>(DomctlCommand::kHypercallInit);
            request.u.hypercall_init.gmfn = some_frame(about).raw();
            (void)domctl("hypercall_init", request);
            return;
        case 4:
            request.cmd = static_cast<uint32_t>(DomctlCommand::kSendtrigger);
            if (is_own(about) && chance(70)) {
                const abi::NmiCallback handler{CallDomain::kVirtualBase, 0};
                (void)call(about, "nmi_op", Number::kNmiOp, {0, address(handler)});
            }
            request.u.sendtrigger = {0, 0};
            (void)domctl("sendtrigger", request);
            return;
        case 5:
            request.cmd = static_cast<uint32_t>(DomctlCommand::kSetVirqHandler);
            request.u.set_virq_handler.virq = pick(abi::kVirqCount);
            // Anyone there is, a domain that is on its way out too.
            request.domain = slots_[pick(kSlots)].domain->id().raw();
            (void)domctl("set_virq_handler", request);
            return;
        default:
            request.cmd = static_cast<uint32_t>(DomctlCommand::kSettimeoffset);
            request.u.settimeoffset.time_offset_seconds = pick(1000);
            (void)domctl("settimeoffset", request);
    }
}

void RandomWorld::ask_about_domains() {
    if (!may_control()) return;
    const DomId id = slots_[pick(kSlots)].domain->id();
    abi::Domctl request = domctl_request(DomctlCommand::kGetdomaininfo, id);
    std::array<uint64_t, 8> frames{};
    static thread_local abi::VcpuGuestContext context;
    switch (pick(6)) {
        case 0:
            (void)domctl("getdomaininfo", request);
            return;
        case 4:
            request.cmd = static_cast<uint32_t>(chance(50) ? DomctlCommand::kGetExtVcpucontext
                                                           : DomctlCommand::kSetExtVcpucontext);
            request.u.ext_vcpucontext.vcpu = pick(2);
            request.u.ext_vcpucontext.size = sizeof(request.u.ext_vcpucontext);
            request.u.ext_vcpucontext.sysenter_callback_eip = CallDomain::kVirtualBase;
            (void)domctl("ext_vcpucontext", request);
            return;
        case 1:
            request.cmd = static_cast<uint32_t>(DomctlCommand::kGetpageframeinfo3);
            for (uint64_t& frame : frames)
                frame = some_frame(some()).raw();
            request.u.getpageframeinfo3 = {frames.size(), {address(frames)}};
            (void)domctl("getpageframeinfo3", request);
            return;
        case 2:
            request.cmd = static_cast<uint32_t>(DomctlCommand::kGetvcpuinfo);
            request.u.getvcpuinfo.vcpu = pick(2);
            (void)domctl("getvcpuinfo", request);
            return;
        case 3:
            request.cmd = static_cast<uint32_t>(DomctlCommand::kGetvcpucontext);
            request.u.vcpucontext = {pick(2), 0, {address(context)}};
            (void)domctl("getvcpucontext", request);
            return;
        default:
            request.cmd = static_cast<uint32_t>(DomctlCommand::kGetAddressSize);
            (void)domctl("get_address_size", request);
    }
}

void RandomWorld::control_machine() {
    HostedDomain& by = chance(95) ? caller_with_rights() : caller();
    switch (pick(3)) {
        case 0: {
            static thread_local std::array<abi::DomctlGetdomaininfo, 4> infos;
            auto request = with_command<abi::Sysctl>(
                one_of({abi::SysctlCommand::kPhysinfo, abi::SysctlCommand::kGetdomaininfolist,
                        abi::SysctlCommand::kSchedId, abi::SysctlCommand::kAvailheap,
                        abi::SysctlCommand::kPerfcOp}),
                abi::kSysctlInterfaceVersion);
            if (request.cmd == static_cast<uint32_t>(abi::SysctlCommand::kGetdomaininfolist)) {
                request.u.getdomaininfolist.max_domains = infos.size();
                request.u.getdomaininfolist.buffer = {address(infos)};
            }
            static thread_local std::array<uint32_t, 256> values;
            if (request.cmd == static_cast<uint32_t>(abi::SysctlCommand::kPerfcOp)) {
                request.u.perfc_op.cmd = static_cast<uint32_t>(chance(80) ? abi::PerfCounterOp::kQuery
                                                                          : abi::PerfCounterOp::kReset);
                request.u.perfc_op.nr_vals = values.size();
                request.u.perfc_op.val.address = address(values);
            }
            (void)call(by, "sysctl", Number::kSysctl, {address(request)});
            return;
        }
        case 1: {
            auto request = with_command<abi::PlatformOp>(
                one_of({abi::PlatformCommand::kSettime64, abi::PlatformCommand::kGetCpuinfo,
                        abi::PlatformCommand::kCoreParking, abi::PlatformCommand::kSetProcessorPminfo}),
                abi::kPlatformInterfaceVersion);
            if (request.cmd == static_cast<uint32_t>(abi::PlatformCommand::kSettime64))
                request.u.settime64.secs = 1'000'000'000u + pick(1000);
            if (request.cmd == static_cast<uint32_t>(abi::PlatformCommand::kCoreParking))
                request.u.core_parking.type = abi::kCoreParkingGet;
            (void)call(by, "platform_op", Number::kPlatformOp, {address(request)});
            return;
        }
        default: {
            auto request = with_command<abi::MachineCheckOp>(
                chance(70) ? abi::MachineCheckCommand::kFetch : abi::MachineCheckCommand::kPhysicalCpuInfo,
                abi::kMachineCheckInterfaceVersion);
            (void)call(by, "mca", Number::kMca, {address(request)});
        }
    }
}

// The call may be interrupted, and a large domain is told to be asked for again (EAGAIN). True when all is
// done.
bool RandomWorld::destroy_part(DomId id, unsigned most) {
    abi::Domctl request = domctl_request(DomctlCommand::kDestroydomain, id);
    const int64_t result = domctl("destroydomain", request, most);
    if (caller_with_rights().unfinished) return false;
    if (result == abi::negated(Errno::kEAGAIN)) {
        ++unfinished_calls;
        return false;
    }
    if (!is_alone() && result == abi::negated(Errno::kESRCH)) return true;  // somebody else has
    EXPECT_EQ(result, 0);
    return true;
}

// A second caller that ends the same domain at the same time; it may be gone by now.
void RandomWorld::help_to_end(unsigned number) {
    DomId id{};
    {
        const std::lock_guard guard(shared_->lock);
        if (!shared_->entries[number].dying) return;
        id = shared_->entries[number].id;
    }
    abi::Domctl request = domctl_request(DomctlCommand::kDestroydomain, id);
    (void)domctl("destroydomain", request, 1 + pick(3));
}

// One guest goes, some steps later all of it is gone, and another takes its place. Its frames may stay for as
// long as others use them.
void RandomWorld::end_guest() {
    if (!may_control()) return;
    const unsigned number = 1 + pick(kSlots - 1);
    Slot& slot = slots_[number];
    const DomId id = slot.domain->id();
    if (!builds_guests_) return help_to_end(number);
    bool stopped = false;
    bool crashed = false;
    if (const DomainRef domain(find_domain(id)); domain) {
        stopped = domain->is_shut_down();
        crashed = domain->crashed.load();
    }
    if (!slot.dying && stopped && !crashed && chance(30)) {
        abi::Domctl resume = domctl_request(DomctlCommand::kResumedomain, id);
        (void)domctl("resumedomain", resume);
        return;
    }
    // Most guests live for a while.
    if (!slot.dying && !stopped && chance(80)) return;
    if (!slot.dying) forget_mappings_of(*slot.domain);
    slot.dying = true;
    if (!is_alone()) {
        const std::lock_guard guard(shared_->lock);
        shared_->entries[number].dying = true;
    }
    if (!destroy_part(id, 1 + pick(3))) return;
    slot.domain->forget();
    slot.domain.reset();
    ++domains_ended;
    if (const DomainRef left(find_domain(id)); left) ++ended_while_in_use;
    build_guest(number);
}

bool RandomWorld::build_memory(DomId id, std::vector<Mfn>& tables) {
    abi::Domctl limit = domctl_request(DomctlCommand::kMaxMem, id);
    limit.u.max_mem.max_memkb = (kFrames + kLimitAboveFrames) * 4;
    EXPECT_EQ(domctl("max_mem", limit), 0);
    std::array<uint64_t, kFrames + 4> extents{};
    abi::MemoryReservation request{{address(extents)}, extents.size(), 0, 0, id.raw(), {}};
    const int64_t done = caller_with_rights().hypercall(
        Number::kMemoryOp, {static_cast<uint64_t>(abi::MemoryOp::kPopulatePhysmap), address(request)});
    note("populate_physmap", Number::kMemoryOp, done);
    EXPECT_EQ(done, static_cast<int64_t>(extents.size()));
    for (unsigned level = 1; level <= 4; ++level)
        tables.push_back(Mfn(extents[level - 1]));
    for (unsigned level = 2; level <= 4; ++level) {
        const unsigned slot = (CallDomain::kVirtualBase >> (kPageShift + 9 * (level - 1))) & 511;
        write_once(control().entries(tables[level - 1])[slot], HostedDomain::entry(tables[level - 2]));
    }
    return caller_with_rights().mmuext(Command::kPinL4Table, tables[3].raw(), 0, id.raw()) == 0;
}

// As a tool builds one: through the control domain's calls. Some are given up half-built.
void RandomWorld::build_guest(unsigned number) {
    abi::Domctl create = domctl_request(DomctlCommand::kCreatedomain, DomId(0));
    create.u.createdomain.max_vcpus = 2;
    create.u.createdomain.max_evtchn_port = kPorts - 1;
    create.u.createdomain.max_grant_frames = 4;
    create.u.createdomain.max_maptrack_frames = 4;
    create.u.createdomain.grant_opts = 1;
    EXPECT_EQ(domctl("createdomain", create), 0);
    const DomId id(create.domain);
    abi::Domctl vcpus = domctl_request(DomctlCommand::kMaxVcpus, id);
    vcpus.u.max_vcpus.max = 2;
    EXPECT_EQ(domctl("max_vcpus", vcpus), 0);
    std::vector<Mfn> tables;
    EXPECT_TRUE(build_memory(id, tables));
    // Never at the end of a fuzzed input, where every number is zero: there must be a guest in the end.
    if (chooser_.number() % 10 == 7) {
        while (!destroy_part(id, 10'000)) {
        }
        EXPECT_FALSE(is_alone() && DomainRef(find_domain(id)))
            << "a half-built domain leaves something behind";
        return build_guest(number);
    }
    static thread_local abi::VcpuGuestContext context;
    context = {};
    context.flags = abi::kVgcfInKernel | (is_alone() ? 0u : abi::kVgcfOnline);
    context.ctrlreg[3] = abi::cr3_from_mfn(tables[3].raw());
    abi::Domctl set = domctl_request(DomctlCommand::kSetvcpucontext, id);
    set.u.vcpucontext = {0, 0, {address(context)}};
    EXPECT_EQ(domctl("setvcpucontext", set), 0);
    uint64_t frame = 0;
    abi::GrantSetupTable grants{id.raw(), 0, 1, 1, {}, {address(frame)}};
    (void)caller_with_rights().hypercall(
        Number::kGrantTableOp, {static_cast<uint64_t>(abi::GrantTableOp::kSetupTable), address(grants), 1});
    EXPECT_EQ(grants.status, 0);
    Slot& slot = slots_[number];
    slot.dying = false;
    abi::Domctl release = domctl_request(DomctlCommand::kUnpausedomain, id);
    if (!is_alone()) {
        slot.domain = std::make_unique<HostedDomain>(id);
        shared_->enter(number, id, tables);
        EXPECT_EQ(domctl("unpausedomain", release), 0);
        return;
    }
    Domain* const made = find_domain(id);
    put_domain(*made);  // the registry's own reference stays
    slot.domain = std::make_unique<HostedDomain>(*made, number, tables);
    slot.first_root = tables[3];
    // It is alive from its first release on, but never runs here.
    EXPECT_EQ(domctl("unpausedomain", release), 0);
    release.cmd = static_cast<uint32_t>(DomctlCommand::kPausedomain);
    EXPECT_EQ(domctl("pausedomain", release), 0);
}

}  // namespace torii::test
