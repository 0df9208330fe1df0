// domctl: questions about a domain.
#include <torii/abi/torii_control.h>

#include <cstring>

#include "base/once.h"
#include "core/call/domctl_ops.h"
#include "core/memory/reservation.h"

namespace torii::call {
namespace {

uint64_t run_time(const Vcpu& vcpu) {
    return sched_runstate(vcpu.unit).time[static_cast<unsigned>(abi::RunState::kRunning)];
}

// The domain as its vCPUs make it look: running when one runs, blocked when none that is up wants to.
void describe_vcpus(const Domain& domain, abi::DomctlGetdomaininfo& info) {
    bool blocked = true;
    info.max_vcpu_id = abi::kInvalidMaxVcpuId;
    for (uint32_t i = 0; i < domain.vcpu_count; ++i) {
        const Vcpu* const vcpu = domain.vcpus[i];
        if (vcpu == nullptr) continue;
        info.max_vcpu_id = i;
        info.cpu_time += run_time(*vcpu);
        if (!vcpu->up.load()) continue;
        ++info.nr_online_vcpus;
        if (!vcpu->unit.is_blocked()) blocked = false;
        if (vcpu->unit.is_running()) info.flags |= abi::kDomainInfoRunning;
    }
    if (blocked) info.flags |= abi::kDomainInfoBlocked;
}

uint32_t page_type(const Domain& domain, Mfn mfn) {
    const FrameRef frame = FrameRef::take(mfn, domain.id);
    if (!frame) return abi::kPageInfoInvalid;
    const TypeWord word = frame->type_word();
    uint32_t type = abi::kPageInfoNoTable;
    if (word.count() != 0 || word.partial()) {
        switch (word.type()) {
            case FrameType::kL1:
                type = abi::kPageInfoL1Table;
                break;
            case FrameType::kL2:
                type = abi::kPageInfoL2Table;
                break;
            case FrameType::kL3:
                type = abi::kPageInfoL3Table;
                break;
            case FrameType::kL4:
                type = abi::kPageInfoL4Table;
                break;
            default:
                break;
        }
    }
    return word.pinned() ? type | abi::kPageInfoPinned : type;
}

}  // namespace

void describe_domain(Domain& domain, abi::DomctlGetdomaininfo& info) {
    const LockGuard guard(domain.control_lock);
    info = abi::DomctlGetdomaininfo{};
    info.domain = domain.id.raw();
    if (domain.life.load() >= Life::kDying) info.flags |= abi::kDomainInfoDying;
    if (const uint32_t shutdown = domain.shutdown.load(); shutdown != 0)
        info.flags |= abi::kDomainInfoShutdown | (shutdown & abi::kDomainInfoShutdownMask)
                                                     << abi::kDomainInfoShutdownShift;
    if (domain.pauses.load() != 0) info.flags |= abi::kDomainInfoPaused;
    if ((domain.create_flags & abi::kCreateXenstoreDomain) != 0) info.flags |= abi::kDomainInfoXenstoreDomain;
    describe_vcpus(domain, info);
    info.tot_pages = read_once(domain.frame_count);
    info.max_pages = frame_limit_of(domain);
    info.shared_info_frame = domain.shared_info_frame.raw();
    info.ssidref = domain.ssidref;
    info.handle = domain.handle;
    info.cpupool = domain.sched.pool().id;
}

CallResult get_domain_info(DomctlCall& call) {
    describe_domain(call.domain, call.request.u.getdomaininfo);
    call.request.domain = call.domain.id.raw();
    call.answers = true;
    return 0;
}

CallResult get_vcpu_info(DomctlCall& call) {
    auto& info = call.request.u.getvcpuinfo;
    if (info.vcpu >= call.domain.vcpu_count) return Errno::kEINVAL;
    const Vcpu* const vcpu = call.domain.vcpu(VcpuId(info.vcpu));
    if (vcpu == nullptr) return Errno::kESRCH;
    info.online = vcpu->up.load() ? 1 : 0;
    info.blocked = vcpu->unit.is_blocked() ? 1 : 0;
    info.running = vcpu->unit.is_running() ? 1 : 0;
    info.cpu_time = run_time(*vcpu);
    info.cpu = vcpu->unit.cpu().raw();
    call.answers = true;
    return 0;
}

CallResult get_page_types(DomctlCall& call) {
    constexpr uint64_t kMost = 1024;
    const auto& request = call.request.u.getpageframeinfo3;
    if (request.num > kMost) return Errno::kE2BIG;
    const GuestArray<uint64_t> frames(request.array);
    for (uint64_t i = 0; i < request.num; ++i) {
        uint64_t mfn = 0;
        TRY(frames.read(i, mfn));
        TRY(frames.write(i, uint64_t{page_type(call.domain, Mfn(mfn))}));
    }
    return 0;
}

CallResult get_end_reason(DomctlCall& call) {
    abi::DomctlEndReason request;
    static_assert(sizeof(request) <= sizeof(call.request.u.payload));
    memcpy(&request, call.request.u.payload, sizeof(request));
    if (!call.domain.crashed.load(std::memory_order_acquire)) return Errno::kENODATA;
    char text[sizeof(call.domain.crash_reason)]{};
    size_t length = 0;
    while (length + 1 < sizeof(text) && call.domain.crash_reason[length] != 0) {
        text[length] = call.domain.crash_reason[length];
        ++length;
    }
    if (request.size <= length) return Errno::kENOBUFS;
    const size_t filled = request.size < sizeof(text) ? request.size : sizeof(text);
    TRY(GuestArray<char>(request.text).write_many(0, text, filled));
    request.size = static_cast<uint32_t>(length);
    memcpy(call.request.u.payload, &request, sizeof(request));
    call.answers = true;
    return 0;
}

}  // namespace torii::call
