#include "xen/hypervisor.h"

#include <torii/abi/errno.h>
#include <torii/abi/event_channel.h>
#include <torii/abi/mmu.h>
#include <torii/abi/torii_control.h>
#include <torii/abi/xen_version.h>
#include <torii/failure.h>

#include <algorithm>
#include <cstring>

#include "log/log.h"
#include "xen/call_result.h"

namespace torii::dom0 {
namespace {

constexpr size_t kDomainsPerCall = 64;
constexpr size_t kLogBytesPerCall = 16 * 1024;
constexpr size_t kEndReasonBytes = 512;

DomainInfo to_info(const abi::DomctlGetdomaininfo& raw) {
    DomainInfo info;
    info.domain = DomId(raw.domain);
    std::copy(std::begin(raw.handle.bytes), std::end(raw.handle.bytes), info.handle.begin());
    info.dying = (raw.flags & abi::kDomainInfoDying) != 0;
    info.shut_down = (raw.flags & abi::kDomainInfoShutdown) != 0;
    info.shutdown_reason = static_cast<abi::ShutdownReason>((raw.flags >> abi::kDomainInfoShutdownShift) &
                                                            abi::kDomainInfoShutdownMask);
    info.paused = (raw.flags & abi::kDomainInfoPaused) != 0;
    info.blocked = (raw.flags & abi::kDomainInfoBlocked) != 0;
    info.running = (raw.flags & abi::kDomainInfoRunning) != 0;
    info.pages = raw.tot_pages;
    info.max_pages = raw.max_pages;
    info.shared_info = Mfn(raw.shared_info_frame);
    info.cpu_time_ns = raw.cpu_time;
    info.online_vcpus = raw.nr_online_vcpus;
    info.pool = PoolId(raw.cpupool);
    info.vcpus = raw.max_vcpu_id == abi::kInvalidMaxVcpuId ? 0 : raw.max_vcpu_id + 1;
    return info;
}

// Text that ends at the first zero, or at the end of its field.
std::string field_text(const char* text, size_t size) {
    return std::string(text, strnlen(text, size));
}

}  // namespace

int64_t Hypervisor::domctl(CallStruct<abi::Domctl>& call, abi::DomctlCommand command, DomId domain) {
    call->cmd = static_cast<uint32_t>(command);
    call->interface_version = abi::kDomctlInterfaceVersion;
    call->domain = domain.raw();
    return calls_.call(abi::Hypercall::kDomctl, {call.address()});
}

int64_t Hypervisor::sysctl(CallStruct<abi::Sysctl>& call, abi::SysctlCommand command) {
    call->cmd = static_cast<uint32_t>(command);
    call->interface_version = abi::kSysctlInterfaceVersion;
    return calls_.call(abi::Hypercall::kSysctl, {call.address()});
}

void Hypervisor::simple_domctl(abi::DomctlCommand command, DomId domain, const char* what,
                               const std::function<void(abi::Domctl&)>& fill) {
    CallStruct<abi::Domctl> call(calls_);
    if (fill) fill(*call);
    const int64_t result = domctl(call, command, domain);
    if (result < 0) fail_call(result, fmt::format("{} domain {}", what, domain.raw()));
}

DomId Hypervisor::create_domain(const Uuid& handle, const DomainLimits& limits) {
    CallStruct<abi::Domctl> call(calls_);
    auto& request = call->u.createdomain;
    std::copy(handle.begin(), handle.end(), std::begin(request.handle.bytes));
    request.max_vcpus = limits.max_vcpus;
    request.max_evtchn_port = limits.max_event_port;
    request.max_grant_frames = static_cast<int32_t>(limits.max_grant_frames);
    request.max_maptrack_frames = static_cast<int32_t>(limits.max_maptrack_frames);
    request.grant_opts = 1;  // version 1: the one that every kernel here can use and every frame number fits
    const int64_t result = domctl(call, abi::DomctlCommand::kCreatedomain, kDom0);
    if (is(result, abi::Errno::kEINVAL)) {
        throw Failure(
            ErrorCode::kInvalidArgument,
            fmt::format("the hypervisor does not create a domain with {} virtual CPUs: ask for fewer",
                        limits.max_vcpus));
    }
    if (is(result, abi::Errno::kENOMEM)) {
        throw Failure(
            ErrorCode::kNoMemory,
            "the hypervisor has no memory left for another domain: destroy one, or give dom0 less memory");
    }
    if (result < 0) fail_call(result, "create a domain");
    return DomId(call->domain);
}

void Hypervisor::set_max_vcpus(DomId domain, uint32_t count) {
    simple_domctl(abi::DomctlCommand::kMaxVcpus, domain, "set the number of virtual CPUs of",
                  [&](abi::Domctl& call) { call.u.max_vcpus.max = count; });
}

void Hypervisor::set_max_memory(DomId domain, uint64_t kib) {
    simple_domctl(abi::DomctlCommand::kMaxMem, domain, "set the memory limit of",
                  [&](abi::Domctl& call) { call.u.max_mem.max_memkb = kib; });
}

void Hypervisor::set_tsc_policy(DomId domain, TscPolicy policy) {
    simple_domctl(abi::DomctlCommand::kSettscinfo, domain, "set the time stamp counter's mode of",
                  [&](abi::Domctl& call) { call.u.tsc_info.tsc_mode = static_cast<uint32_t>(policy); });
}

void Hypervisor::fill_hypercall_page(DomId domain, Mfn frame) {
    simple_domctl(abi::DomctlCommand::kHypercallInit, domain, "fill the hypercall page of",
                  [&](abi::Domctl& call) { call.u.hypercall_init.gmfn = frame.raw(); });
}

void Hypervisor::set_vcpu_context(DomId domain, uint32_t vcpu, const abi::VcpuGuestContext& context) {
    CallStruct<abi::VcpuGuestContext> buffer(calls_);
    *buffer = context;
    simple_domctl(abi::DomctlCommand::kSetvcpucontext, domain, "start the virtual CPU of",
                  [&](abi::Domctl& call) {
                      call.u.vcpucontext.vcpu = vcpu;
                      call.u.vcpucontext.ctxt.address = buffer.address();
                  });
}

void Hypervisor::pin_top_level_table(DomId domain, Mfn table) {
    CallStruct<abi::MmuextOp> operation(calls_);
    operation->cmd = static_cast<uint32_t>(abi::MmuextOpCommand::kPinL4Table);
    operation->arg1.mfn = table.raw();
    const int64_t result = calls_.call(abi::Hypercall::kMmuextOp, {operation.address(), 1, 0, domain.raw()});
    if (result < 0) fail_call(result, fmt::format("accept the first page tables of domain {}", domain.raw()));
}

Port Hypervisor::allocate_unbound_port(DomId domain, DomId remote) {
    CallStruct<abi::EventAllocUnbound> operation(calls_);
    operation->dom = domain.raw();
    operation->remote_dom = remote.raw();
    const int64_t result =
        calls_.call(abi::Hypercall::kEventChannelOp,
                    {static_cast<uint64_t>(abi::EventChannelOp::kAllocUnbound), operation.address()});
    if (result < 0) fail_call(result, fmt::format("allocate an event channel in domain {}", domain.raw()));
    return Port(operation->port);
}

size_t Hypervisor::populate(DomId domain, unsigned order, std::span<uint64_t> frames) {
    CallArray<uint64_t> extents(calls_, frames.size());
    std::copy(frames.begin(), frames.end(), extents.items().begin());
    CallStruct<abi::MemoryReservation> reservation(calls_);
    reservation->extent_start.address = extents.address();
    reservation->nr_extents = frames.size();
    reservation->extent_order = order;
    reservation->domid = domain.raw();
    const int64_t result =
        calls_.call(abi::Hypercall::kMemoryOp,
                    {static_cast<uint64_t>(abi::MemoryOp::kPopulatePhysmap), reservation.address()});
    if (is(result, abi::Errno::kENOMEM)) return 0;
    if (result < 0) fail_call(result, fmt::format("give memory to domain {}", domain.raw()));
    std::copy_n(extents.items().begin(), frames.size(), frames.begin());
    return static_cast<size_t>(result);
}

void Hypervisor::pause(DomId domain) {
    simple_domctl(abi::DomctlCommand::kPausedomain, domain, "pause");
}

void Hypervisor::unpause(DomId domain) {
    simple_domctl(abi::DomctlCommand::kUnpausedomain, domain, "unpause");
}

void Hypervisor::destroy(DomId domain) {
    CallStruct<abi::Domctl> call(calls_);
    int64_t result = 0;
    do {
        // A preempted call comes back as EAGAIN when the kernel could not continue it by itself.
        result = domctl(call, abi::DomctlCommand::kDestroydomain, domain);
    } while (is(result, abi::Errno::kEAGAIN) || is(result, abi::Errno::kERESTART));
    if (result < 0 && !is(result, abi::Errno::kESRCH)) {
        fail_call(result, fmt::format("destroy domain {}", domain.raw()));
    }
}

std::optional<DomainInfo> Hypervisor::domain(DomId domain) {
    CallStruct<abi::Domctl> call(calls_);
    const int64_t result = domctl(call, abi::DomctlCommand::kGetdomaininfo, domain);
    // The call answers with the next existing domain when the asked one does not exist.
    if (is(result, abi::Errno::kESRCH)) return std::nullopt;
    if (result < 0) fail_call(result, fmt::format("describe domain {}", domain.raw()));
    if (call->u.getdomaininfo.domain != domain.raw()) return std::nullopt;
    return to_info(call->u.getdomaininfo);
}

std::vector<DomainInfo> Hypervisor::domains() {
    std::vector<DomainInfo> all;
    CallArray<abi::DomctlGetdomaininfo> buffer(calls_, kDomainsPerCall);
    uint32_t next = 0;
    while (next < abi::kDomIdFirstReserved) {
        CallStruct<abi::Sysctl> call(calls_);
        auto& request = call->u.getdomaininfolist;
        request.first_domain = static_cast<uint16_t>(next);
        request.max_domains = kDomainsPerCall;
        request.buffer.address = buffer.address();
        const int64_t result = sysctl(call, abi::SysctlCommand::kGetdomaininfolist);
        if (result < 0) fail_call(result, "list the domains");
        const size_t count = std::min<size_t>(request.num_domains, kDomainsPerCall);
        for (size_t i = 0; i < count; i++)
            all.push_back(to_info(buffer[i]));
        if (count < kDomainsPerCall) break;
        next = all.back().domain.raw() + 1u;
    }
    return all;
}

std::optional<std::string> Hypervisor::end_reason(DomId domain) {
    CallArray<char> text(calls_, kEndReasonBytes);
    CallStruct<abi::Domctl> call(calls_);
    abi::DomctlEndReason request{};
    request.text.address = text.address();
    request.size = kEndReasonBytes;
    static_assert(sizeof(request) <= sizeof(call->u.payload));
    std::memcpy(call->u.payload, &request, sizeof(request));
    const int64_t result = domctl(call, static_cast<abi::DomctlCommand>(abi::kDomctlGetEndReason), domain);
    if (is(result, abi::Errno::kENODATA) || is(result, abi::Errno::kESRCH)) return std::string();
    if (result < 0) return std::nullopt;
    return field_text(text.items().data(), kEndReasonBytes);
}

bool Hypervisor::speaks_control_interface() {
    CallStruct<abi::Sysctl> of_machine(calls_);
    CallStruct<abi::Domctl> of_domain(calls_);
    return !is(sysctl(of_machine, abi::SysctlCommand::kPhysinfo), abi::Errno::kEACCES) &&
           !is(domctl(of_domain, abi::DomctlCommand::kGetdomaininfo, kDom0), abi::Errno::kEACCES);
}

HostInfo Hypervisor::host() {
    CallStruct<abi::Sysctl> call(calls_);
    const int64_t result = sysctl(call, abi::SysctlCommand::kPhysinfo);
    if (result < 0) fail_call(result, "describe the machine");
    const auto& raw = call->u.physinfo;
    return HostInfo{raw.total_pages,      raw.free_pages,       raw.scrub_pages, raw.nr_cpus,
                    raw.cores_per_socket, raw.threads_per_core, raw.cpu_khz,     raw.max_cpu_id + 1};
}

std::string Hypervisor::version_text(uint32_t operation, size_t bytes) {
    CallArray<char> buffer(calls_, bytes);
    const int64_t result = calls_.call(abi::Hypercall::kXenVersion, {operation, buffer.address()});
    return result < 0 ? std::string() : field_text(buffer.items().data(), bytes);
}

VersionInfo Hypervisor::version() {
    const auto operation = [](abi::VersionOp op) { return static_cast<uint32_t>(op); };
    const int64_t number = calls_.call(abi::Hypercall::kXenVersion, {operation(abi::VersionOp::kVersion)});
    if (number < 0) fail_call(number, "tell its version");
    VersionInfo info;
    info.version =
        fmt::format("{}.{}{}", number >> 16, number & 0xFFFF,
                    version_text(operation(abi::VersionOp::kExtraversion), abi::kExtraversionSize));
    info.capabilities = version_text(operation(abi::VersionOp::kCapabilities), abi::kCapabilitiesSize);
    info.command_line = version_text(operation(abi::VersionOp::kCommandline), abi::kCommandlineSize);
    info.changeset = version_text(operation(abi::VersionOp::kChangeset), abi::kChangesetSize);
    CallStruct<abi::CompileInfo> compile(calls_);
    const int64_t result = calls_.call(abi::Hypercall::kXenVersion,
                                       {operation(abi::VersionOp::kCompileInfo), compile.address()});
    if (result >= 0) info.compiler = field_text(compile->compiler, sizeof(compile->compiler));
    return info;
}

std::string Hypervisor::read_log(bool clear, size_t limit) {
    std::string log;
    CallArray<char> buffer(calls_, kLogBytesPerCall);
    uint32_t index = 0;
    bool incremental = false;
    while (true) {
        CallStruct<abi::Sysctl> call(calls_);
        auto& request = call->u.readconsole;
        request.incremental = incremental ? 1 : 0;
        request.index = index;
        request.buffer.address = buffer.address();
        request.count = kLogBytesPerCall;
        const int64_t result = sysctl(call, abi::SysctlCommand::kReadconsole);
        if (result < 0) fail_call(result, "show its log");
        const size_t count = std::min<size_t>(request.count, kLogBytesPerCall);
        log.append(buffer.items().data(), count);
        if (log.size() > limit) log.erase(0, log.size() - limit);
        index = request.index;
        incremental = true;
        // A short answer is the end; the log may grow while it is read, but not for ever.
        if (count < kLogBytesPerCall) break;
    }
    if (clear) {
        CallStruct<abi::Sysctl> call(calls_);
        call->u.readconsole.clear = 1;
        call->u.readconsole.buffer.address = buffer.address();
        call->u.readconsole.count = kLogBytesPerCall;
        const int64_t result = sysctl(call, abi::SysctlCommand::kReadconsole);
        if (result < 0) fail_call(result, "clear its log");
    }
    return log;
}

std::vector<PerformanceCounter> Hypervisor::counters() {
    CallStruct<abi::Sysctl> sizes(calls_);
    sizes->u.perfc_op.cmd = static_cast<uint32_t>(abi::PerfCounterOp::kQuery);
    const int64_t asked = sysctl(sizes, abi::SysctlCommand::kPerfcOp);
    if (is(asked, abi::Errno::kENOSYS) || is(asked, abi::Errno::kEOPNOTSUPP)) {
        throw Failure(ErrorCode::kNotSupported,
                      "this hypervisor keeps no performance counters (it was built without them)");
    }
    if (asked < 0) fail_call(asked, "tell its counters");
    const uint32_t counters = sizes->u.perfc_op.nr_counters;
    const uint32_t values = sizes->u.perfc_op.nr_vals;
    if (counters == 0) return {};

    CallArray<abi::SysctlPerfcDescription> descriptions(calls_, counters);
    CallArray<uint32_t> numbers(calls_, values);
    CallStruct<abi::Sysctl> call(calls_);
    auto& request = call->u.perfc_op;
    request.cmd = static_cast<uint32_t>(abi::PerfCounterOp::kQuery);
    request.nr_counters = counters;
    request.nr_vals = values;
    request.desc.address = descriptions.address();
    request.val.address = numbers.address();
    const int64_t result = sysctl(call, abi::SysctlCommand::kPerfcOp);
    if (result < 0) fail_call(result, "tell its counters");

    std::vector<PerformanceCounter> all;
    size_t next = 0;
    for (uint32_t i = 0; i < counters; i++) {
        PerformanceCounter counter{field_text(descriptions[i].name, sizeof(descriptions[i].name)), {}};
        for (uint32_t v = 0; v < descriptions[i].nr_vals && next < values; v++) {
            counter.values.push_back(numbers[next++]);
        }
        all.push_back(std::move(counter));
    }
    return all;
}

void Hypervisor::reset_counters() {
    CallStruct<abi::Sysctl> call(calls_);
    call->u.perfc_op.cmd = static_cast<uint32_t>(abi::PerfCounterOp::kReset);
    const int64_t result = sysctl(call, abi::SysctlCommand::kPerfcOp);
    if (result < 0) fail_call(result, "reset its counters");
}

}  // namespace torii::dom0
