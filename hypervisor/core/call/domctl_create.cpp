// createdomain: checks what a tool asks for, finds an id, makes the empty domain.
#include <bit>

#include "core/call/domctl_ops.h"
#include "core/call/wall_clock.h"

namespace torii::call {
namespace {

constexpr int32_t kDefaultGrantFrames = 64;
constexpr int32_t kDefaultMaptrackFrames = 1024;
constexpr int32_t kMostGrantFrames = 1024;
constexpr int32_t kMostMaptrackFrames = 65536;

// The id given last: the search goes on behind it, so that an id comes back as late as possible.
constinit std::atomic<uint16_t> last_id{0};

Result<> check_kind(const abi::DomctlCreatedomain& wish) {
    // oos_off and s3_integrity mean nothing to this kind of guest, and tools set them anyway.
    constexpr uint32_t kAccepted = abi::kCreateXenstoreDomain | abi::kCreateOosOff | abi::kCreateS3Integrity;
    if ((wish.flags & ~kAccepted) != 0 || wish.iommu_opts != 0) return Errno::kEINVAL;
    if (wish.vmtrace_size != 0) return Errno::kEINVAL;
    if ((wish.arch.emulation_flags & ~abi::kX86EmulatePit) != 0) return Errno::kEINVAL;
    if ((wish.arch.misc_flags & ~abi::kX86MsrRelaxed) != 0) return Errno::kEINVAL;
    const uint32_t grant_version = wish.grant_opts & abi::kCreateGrantVersionMask;
    if ((wish.grant_opts & ~abi::kCreateGrantVersionMask) != 0 || grant_version == 0 || grant_version > 2)
        return Errno::kEINVAL;
    return {};
}

Result<uint32_t> limit_of(int32_t wish, int32_t otherwise, int32_t most) {
    if (wish < 0) return static_cast<uint32_t>(otherwise);
    if (wish == 0 || wish > most) return Errno::kEINVAL;
    return static_cast<uint32_t>(wish);
}

Result<DomainLimits> limits_of(const abi::DomctlCreatedomain& wish) {
    if (wish.max_vcpus == 0 || wish.max_vcpus > kMaxVcpusPerDomain) return Errno::kEINVAL;
    DomainLimits limits;
    limits.vcpus = wish.max_vcpus;
    limits.cpu_pool = wish.cpupool_id;
    limits.event_ports =
        wish.max_evtchn_port < EventTable::kMostPorts ? wish.max_evtchn_port : EventTable::kMostPorts - 1;
    limits.grant_frames = TRY(limit_of(wish.max_grant_frames, kDefaultGrantFrames, kMostGrantFrames));
    limits.maptrack_frames =
        TRY(limit_of(wish.max_maptrack_frames, kDefaultMaptrackFrames, kMostMaptrackFrames));
    return limits;
}

bool is_taken(uint16_t id) {
    const DomainRef domain(find_domain(DomId(id)));
    return static_cast<bool>(domain);
}

Result<Domain*> create_with_any_id(const DomainLimits& limits) {
    for (uint32_t tried = 0; tried < abi::kDomIdFirstReserved; ++tried) {
        uint16_t id = static_cast<uint16_t>(last_id.load(std::memory_order_relaxed) + 1);
        if (id >= abi::kDomIdFirstReserved) id = 1;
        last_id.store(id, std::memory_order_relaxed);
        if (is_taken(id)) continue;
        const Result<Domain*> created = create_domain(DomId(id), limits, false);
        if (created.error() != Errno::kEEXIST) return created;
    }
    return Errno::kENOMEM;
}

}  // namespace

CallResult create_domain_op(CallContext& context, abi::Domctl& request) {
    const abi::DomctlCreatedomain& wish = request.u.createdomain;
    TRY(check_kind(wish));
    const DomainLimits limits = TRY(limits_of(wish));
    const bool any_id = request.domain == 0 || request.domain >= abi::kDomIdFirstReserved;
    Domain* const domain =
        TRY(any_id ? create_with_any_id(limits) : create_domain(DomId(request.domain), limits, false));
    {
        const LockGuard guard(domain->control_lock);
        domain->handle = wish.handle;
        domain->create_flags = wish.flags;
        domain->ssidref = wish.ssidref;
    }
    publish_wall_clock(*domain);
    request.domain = domain->id.raw();
    return 0;
}

}  // namespace torii::call
