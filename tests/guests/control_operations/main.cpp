// platform_op, sysctl and domctl, as the control domain uses them; refused to others.

#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

abi::Sysctl sysctl_for(abi::SysctlCommand command) {
    abi::Sysctl op{};
    op.cmd = static_cast<uint32_t>(command);
    op.interface_version = abi::kSysctlInterfaceVersion;
    return op;
}

abi::Domctl domctl_for(abi::DomctlCommand command, abi::RawDomId domain) {
    abi::Domctl op{};
    op.cmd = static_cast<uint32_t>(command);
    op.interface_version = abi::kDomctlInterfaceVersion;
    op.domain = domain;
    return op;
}

}  // namespace

GUEST_TEST(control_ordinary_domain, "An ordinary domain is refused all of it") {
    if (is_control_domain()) return skip("the control domain");
    abi::Sysctl host = sysctl_for(abi::SysctlCommand::kPhysinfo);
    CHECK_FAILS(sysctl(host), kEPERM);
    abi::Domctl pause = domctl_for(abi::DomctlCommand::kPausedomain, 0);
    CHECK_FAILS(domctl(pause), kEPERM);
    abi::PlatformOp platform{};
    platform.cmd = static_cast<uint32_t>(abi::PlatformCommand::kGetCpuinfo);
    platform.interface_version = abi::kPlatformInterfaceVersion;
    CHECK_FAILS(platform_op(platform), kEPERM);
}

GUEST_TEST(control_versions, "A wrong interface version is refused") {
    if (!is_control_domain()) return skip("an ordinary domain");
    abi::Sysctl host = sysctl_for(abi::SysctlCommand::kPhysinfo);
    host.interface_version = 0x14;
    CHECK_FAILS(sysctl(host), kEACCES);
    abi::Domctl info = domctl_for(abi::DomctlCommand::kGetdomaininfo, abi::kDomIdSelf);
    info.interface_version = 0x14;
    CHECK_FAILS(domctl(info), kEACCES);
    abi::PlatformOp platform{};
    platform.cmd = static_cast<uint32_t>(abi::PlatformCommand::kGetCpuinfo);
    CHECK_FAILS(platform_op(platform), kEACCES);
}

GUEST_TEST(sysctl_physinfo, "The machine's numbers make sense") {
    if (!is_control_domain()) return skip("an ordinary domain");
    abi::Sysctl op = sysctl_for(abi::SysctlCommand::kPhysinfo);
    CHECK_SUCCEEDS(sysctl(op));
    const abi::SysctlPhysinfo& info = op.u.physinfo;
    CHECK(info.nr_cpus >= 1 && info.nr_nodes >= 1 && info.cpu_khz > 1000);
    CHECK(info.total_pages >= info.free_pages && info.total_pages > start_info().nr_pages);
    CHECK((info.capabilities & abi::kPhysicalCapPv) != 0);
}

GUEST_TEST(sysctl_domain_list, "The list of domains holds us") {
    if (!is_control_domain()) return skip("an ordinary domain");
    static abi::DomctlGetdomaininfo list[8];
    abi::Sysctl op = sysctl_for(abi::SysctlCommand::kGetdomaininfolist);
    op.u.getdomaininfolist = {0, 0, 8, {virtual_address(list)}, 0, 0};
    CHECK_SUCCEEDS(sysctl(op));
    CHECK_EQUAL(op.u.getdomaininfolist.num_domains, 1u);
    CHECK_EQUAL(list[0].domain, 0);
    CHECK_EQUAL(list[0].nr_online_vcpus, 1u);
    CHECK((list[0].flags & abi::kDomainInfoRunning) != 0);
}

GUEST_TEST(sysctl_console, "The hypervisor's log can be read") {
    if (!is_control_domain()) return skip("an ordinary domain");
    static char text[512];
    abi::Sysctl op = sysctl_for(abi::SysctlCommand::kReadconsole);
    op.u.readconsole.buffer.address = virtual_address(text);
    op.u.readconsole.count = sizeof(text);
    CHECK_SUCCEEDS(sysctl(op));
    CHECK(op.u.readconsole.count > 0 && op.u.readconsole.count <= sizeof(text));
}

GUEST_TEST(sysctl_small, "Scheduler, heap, topology") {
    if (!is_control_domain()) return skip("an ordinary domain");
    abi::Sysctl op = sysctl_for(abi::SysctlCommand::kSchedId);
    CHECK_SUCCEEDS(sysctl(op));
    op = sysctl_for(abi::SysctlCommand::kAvailheap);
    op.u.availheap.node = -1;
    CHECK_SUCCEEDS(sysctl(op));
    CHECK(op.u.availheap.avail_bytes > 0);
    abi::SysctlCputopo cpus[4] = {};
    op = sysctl_for(abi::SysctlCommand::kCputopoinfo);
    op.u.cputopoinfo = {4, 0, {virtual_address(cpus)}};
    CHECK_SUCCEEDS(sysctl(op));
    CHECK(op.u.cputopoinfo.num_cpus >= 1);
    op = sysctl_for(static_cast<abi::SysctlCommand>(999));
    CHECK_FAILS(sysctl(op), kENOSYS);
}

GUEST_TEST(domctl_info,
           "Our own entry by number; none for a domain that is not there, nor by the special names") {
    if (!is_control_domain()) return skip("an ordinary domain");
    abi::Domctl op = domctl_for(abi::DomctlCommand::kGetdomaininfo, 0);
    CHECK_SUCCEEDS(domctl(op));
    CHECK_EQUAL(op.u.getdomaininfo.domain, 0);
    CHECK_EQUAL(op.u.getdomaininfo.shared_info_frame, start_info().shared_info / abi::kPageSize);
    CHECK(op.u.getdomaininfo.tot_pages >= start_info().nr_pages);
    op = domctl_for(abi::DomctlCommand::kGetdomaininfo, 0x7000);
    CHECK_FAILS(domctl(op), kESRCH);
    op = domctl_for(abi::DomctlCommand::kGetdomaininfo, abi::kDomIdSelf);
    CHECK_FAILS(domctl(op), kEINVAL);
}

GUEST_TEST(domctl_life,
           "A domain is created, given memory and a vCPU, listed, and destroyed without a trace") {
    if (!is_control_domain()) return skip("an ordinary domain");
    abi::Sysctl before = sysctl_for(abi::SysctlCommand::kPhysinfo);
    CHECK_SUCCEEDS(sysctl(before));
    abi::Domctl create = domctl_for(abi::DomctlCommand::kCreatedomain, 0);
    create.u.createdomain.max_vcpus = 1;
    create.u.createdomain.max_evtchn_port = 1023;
    create.u.createdomain.max_grant_frames = 4;
    create.u.createdomain.max_maptrack_frames = 4;
    create.u.createdomain.grant_opts = 1;
    create.u.createdomain.handle.bytes[0] = 0xAB;
    if (!CHECK_SUCCEEDS(domctl(create))) return;
    const abi::RawDomId domain = create.domain;
    CHECK(domain > 0 && domain < abi::kDomIdFirstReserved);
    abi::Domctl op = domctl_for(abi::DomctlCommand::kMaxMem, domain);
    op.u.max_mem.max_memkb = 4096;
    CHECK_SUCCEEDS(domctl(op));
    uint64_t extents[16];
    for (uint64_t index = 0; index < 16; ++index) {
        extents[index] = index;
    }
    abi::MemoryReservation reservation{{virtual_address(extents)}, 16, 0, 0, domain, {}};
    CHECK_EQUAL(memory_op(abi::MemoryOp::kPopulatePhysmap, reservation), 16);
    op = domctl_for(abi::DomctlCommand::kGetdomaininfo, domain);
    CHECK_SUCCEEDS(domctl(op));
    CHECK_EQUAL(op.u.getdomaininfo.tot_pages, 16u);
    CHECK_EQUAL(op.u.getdomaininfo.max_pages, 1024u);
    CHECK_EQUAL(op.u.getdomaininfo.handle.bytes[0], 0xAB);
    CHECK((op.u.getdomaininfo.flags & abi::kDomainInfoPaused) != 0);
    op = domctl_for(abi::DomctlCommand::kDestroydomain, domain);
    CHECK_SUCCEEDS(domctl(op));
    op = domctl_for(abi::DomctlCommand::kGetdomaininfo, domain);
    const int64_t result = domctl(op);
    CHECK(result == abi::negated(abi::Errno::kESRCH) || op.u.getdomaininfo.domain != domain ||
          (op.u.getdomaininfo.flags & abi::kDomainInfoDying) != 0);
}

GUEST_TEST(domctl_create_refused, "Creation with senseless numbers is refused and leaves no domain") {
    if (!is_control_domain()) return skip("an ordinary domain");
    for (const uint32_t vcpus : {0u, 10'000u}) {
        abi::Domctl create = domctl_for(abi::DomctlCommand::kCreatedomain, 0);
        create.u.createdomain.max_vcpus = vcpus;
        create.u.createdomain.max_evtchn_port = 1023;
        create.u.createdomain.grant_opts = 1;
        CHECK(domctl(create) < 0);
    }
    abi::Domctl create = domctl_for(abi::DomctlCommand::kCreatedomain, 0);
    create.u.createdomain.max_vcpus = 1;
    create.u.createdomain.flags = 0x8000'0000;
    create.u.createdomain.grant_opts = 1;
    CHECK(domctl(create) < 0);
    abi::Domctl list = domctl_for(abi::DomctlCommand::kGetdomaininfo, 1);
    CHECK_FAILS(domctl(list), kESRCH);
}

GUEST_TEST(domctl_refused,
           "Operations on domains that are not there, on ourselves, and unknown ones are refused") {
    if (!is_control_domain()) return skip("an ordinary domain");
    for (const abi::DomctlCommand command :
         {abi::DomctlCommand::kDestroydomain, abi::DomctlCommand::kPausedomain,
          abi::DomctlCommand::kUnpausedomain, abi::DomctlCommand::kMaxMem}) {
        abi::Domctl op = domctl_for(command, 0x7000);
        CHECK_FAILS(domctl(op), kESRCH);
    }
    abi::Domctl pause = domctl_for(abi::DomctlCommand::kPausedomain, 0);
    CHECK_FAILS(domctl(pause), kEINVAL);
    abi::Domctl unknown = domctl_for(static_cast<abi::DomctlCommand>(999), 0);
    CHECK_FAILS(domctl(unknown), kENOSYS);
}

GUEST_TEST(platform_settime, "The wall clock can be set; a field that must be zero must be") {
    if (!is_control_domain()) return skip("an ordinary domain");
    abi::PlatformOp op{};
    op.cmd = static_cast<uint32_t>(abi::PlatformCommand::kSettime64);
    op.interface_version = abi::kPlatformInterfaceVersion;
    op.u.settime64.secs = 1'700'000'000;
    op.u.settime64.system_time = 0;
    CHECK_SUCCEEDS(platform_op(op));
    CHECK_EQUAL(uint64_t{shared_info().wc_sec_hi} << 32 | shared_info().wc_sec, 1'700'000'000u);
    op.u.settime64.mbz = 1;
    CHECK_FAILS(platform_op(op), kEINVAL);
}

GUEST_TEST(platform_cpus, "Processors are listed, unknown operations refused") {
    if (!is_control_domain()) return skip("an ordinary domain");
    abi::PlatformOp op{};
    op.cmd = static_cast<uint32_t>(abi::PlatformCommand::kGetCpuinfo);
    op.interface_version = abi::kPlatformInterfaceVersion;
    CHECK_SUCCEEDS(platform_op(op));
    CHECK((op.u.pcpu_info.flags & abi::kPcpuFlagOnline) != 0);
    op = {};
    op.cmd = 999;
    op.interface_version = abi::kPlatformInterfaceVersion;
    CHECK_FAILS(platform_op(op), kENOSYS);
}
