#include "unit/dom0/kit/fake_hypervisor.h"

#include <sys/mman.h>
#include <torii/abi/errno.h>
#include <torii/abi/torii_control.h>
#include <torii/abi/xen_version.h>
#include <torii/failure.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace torii::dom0::test {
namespace {

constexpr size_t kPage = abi::kPageSize;

template <typename T>
T& at(uint64_t address) {
    return *reinterpret_cast<T*>(address);
}

}  // namespace

FakeHypervisor::FakeHypervisor(uint64_t frames) : frame_count_(frames) {
    memory_ = ::memfd_create("frames", MFD_CLOEXEC);
    if (memory_ < 0 || ::ftruncate(memory_, static_cast<off_t>(frames * kPage)) != 0) std::abort();
    view_ = static_cast<std::byte*>(
        ::mmap(nullptr, frames * kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory_, 0));
    for (uint64_t i = 0; i < frames; i++)
        free_.insert(kFirstMfn + i);
}

FakeHypervisor::~FakeHypervisor() {
    ::munmap(view_, frame_count_ * kPage);
    ::close(memory_);
}

std::byte* FakeHypervisor::frame(uint64_t mfn) {
    if (mfn < kFirstMfn || mfn >= kFirstMfn + frame_count_) std::abort();
    return view_ + (mfn - kFirstMfn) * kPage;
}

std::optional<uint64_t> FakeHypervisor::take_frame() {
    if (free_.empty()) return std::nullopt;
    // From the top, so that scattered frames are not by chance consecutive.
    const uint64_t mfn = *free_.rbegin();
    free_.erase(mfn);
    return mfn;
}

bool FakeHypervisor::take_run(uint64_t count, uint64_t& first) {
    uint64_t length = 0;
    uint64_t previous = 0;
    for (const uint64_t mfn : free_) {
        length = mfn == previous + 1 && length != 0 ? length + 1 : (mfn % count == 0 ? 1 : 0);
        previous = mfn;
        if (length != count) continue;
        first = mfn + 1 - count;
        for (uint64_t i = 0; i < count; i++)
            free_.erase(first + i);
        return true;
    }
    return false;
}

FakeDomain& FakeHypervisor::add_domain(const Uuid& handle, uint64_t pages) {
    FakeDomain domain;
    domain.id = next_id_++;
    domain.handle = handle;
    domain.vcpus = 1;
    domain.shared_info = *take_frame();
    domain.grant_frame = *take_frame();
    for (uint64_t pfn = 0; pfn < pages; pfn++)
        domain.frames[pfn] = *take_frame();
    cpus.domain(domain.id, domain.vcpus);
    return domains[domain.id] = domain;
}

void FakeHypervisor::release(FakeDomain& domain) {
    for (const auto& [pfn, mfn] : domain.frames) {
        std::memset(frame(mfn), 0, kPage);
        free_.insert(mfn);
    }
    for (const uint64_t mfn : {domain.shared_info, domain.grant_frame}) {
        std::memset(frame(mfn), 0, kPage);
        free_.insert(mfn);
    }
    cpus.forget(domain.id);
    domains.erase(domain.id);
}

bool FakeHypervisor::owns(const FakeDomain& domain, uint64_t mfn) const {
    if (mfn == domain.shared_info) return true;
    return std::any_of(domain.frames.begin(), domain.frames.end(),
                       [&](const auto& entry) { return entry.second == mfn; });
}

size_t FakeHypervisor::writable_mappings_of(uint64_t mfn) const {
    return mapped_.count(mfn);
}

OwnedMemory FakeHypervisor::call_buffer(size_t bytes) {
    auto* memory = static_cast<std::byte*>(std::calloc(1, bytes == 0 ? 1 : bytes));
    return OwnedMemory({memory, bytes}, [](std::span<std::byte> released) { std::free(released.data()); });
}

ForeignMapping FakeHypervisor::map_frames(DomId owner, std::span<const uint64_t> mfns) {
    const auto found = domains.find(owner.raw());
    if (found == domains.end()) throw Failure(ErrorCode::kHypercall, "no such domain to map from");
    std::set<uint64_t> owned;
    for (const auto& [pfn, mfn] : found->second.frames)
        owned.insert(mfn);
    owned.insert(found->second.shared_info);
    const size_t bytes = mfns.size() * kPage;
    auto* address =
        static_cast<std::byte*>(::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    const std::vector<uint64_t> list(mfns.begin(), mfns.end());
    for (size_t i = 0; i < list.size(); i++) {
        if (!owned.contains(list[i])) throw Failure(ErrorCode::kHypercall, "a frame of another domain");
        ::mmap(address + i * kPage, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory_,
               static_cast<off_t>((list[i] - kFirstMfn) * kPage));
        mapped_.insert(list[i]);
    }
    mapping_count_++;
    return ForeignMapping({address, bytes}, [this, list](std::span<std::byte> memory) {
        ::munmap(memory.data(), memory.size());
        for (const uint64_t mfn : list)
            mapped_.erase(mapped_.find(mfn));
        mapping_count_--;
    });
}

ForeignMapping FakeHypervisor::map_resource(DomId owner, abi::ResourceType type, uint32_t id, uint32_t first,
                                            uint32_t count) {
    if (type != abi::ResourceType::kGrantTable || id != 0 || first != 0 || count != 1) {
        throw Failure(ErrorCode::kHypercall, "an unexpected resource");
    }
    std::byte* grants = frame(domains.at(owner.raw()).grant_frame);
    return ForeignMapping({grants, kPage}, [](std::span<std::byte>) {});
}

int64_t FakeHypervisor::version(uint64_t operation, uint64_t address) const {
    const auto tell = [address](const std::string& text) {
        std::memcpy(reinterpret_cast<char*>(address), text.c_str(), text.size() + 1);
        return int64_t{0};
    };
    switch (static_cast<abi::VersionOp>(operation)) {
        case abi::VersionOp::kVersion:
            return 4 << 16 | 17;
        case abi::VersionOp::kExtraversion:
            return tell(extra_version);
        case abi::VersionOp::kChangeset:
            return tell(changeset);
        default:
            return 0;
    }
}

int64_t FakeHypervisor::call(abi::Hypercall number, const std::array<uint64_t, 5>& arguments) {
    calls_made++;
    if (calls_made == fail_call) return abi::negated(fail_error);
    switch (number) {
        case abi::Hypercall::kDomctl:
            if (other_control_interface) return abi::negated(abi::Errno::kEACCES);
            return domctl(at<abi::Domctl>(arguments[0]));
        case abi::Hypercall::kSysctl:
            if (other_control_interface) return abi::negated(abi::Errno::kEACCES);
            return sysctl(at<abi::Sysctl>(arguments[0]));
        case abi::Hypercall::kMemoryOp:
            return memory_op(arguments[0], arguments[1]);
        case abi::Hypercall::kXenVersion:
            return version(arguments[0], arguments[1]);
        case abi::Hypercall::kEventChannelOp: {
            auto& request = at<abi::EventAllocUnbound>(arguments[1]);
            const auto found = domains.find(request.dom);
            if (found == domains.end()) return abi::negated(abi::Errno::kESRCH);
            request.port = found->second.next_port++;
            return 0;
        }
        case abi::Hypercall::kMmuextOp: {
            const uint64_t mfn = at<abi::MmuextOp>(arguments[0]).arg1.mfn;
            // A page table that somebody can write to is refused, as by the real one.
            if (writable_mappings_of(mfn) != 0) return abi::negated(abi::Errno::kEINVAL);
            domains.at(static_cast<uint16_t>(arguments[3])).pinned = mfn;
            return 0;
        }
        default:
            return abi::negated(abi::Errno::kENOSYS);
    }
}

int64_t FakeHypervisor::memory_op(uint64_t operation, uint64_t argument) {
    auto& request = at<abi::MemoryReservation>(argument);
    if (operation != static_cast<uint64_t>(abi::MemoryOp::kPopulatePhysmap)) {
        return abi::negated(abi::Errno::kENOSYS);
    }
    FakeDomain& domain = domains.at(request.domid);
    auto* extents = reinterpret_cast<uint64_t*>(request.extent_start.address);
    const uint64_t size = 1ull << request.extent_order;
    for (uint64_t i = 0; i < request.nr_extents; i++) {
        uint64_t first = 0;
        if (size > 1 && (no_large_extents || !take_run(size, first))) return static_cast<int64_t>(i);
        if (size == 1) {
            const auto mfn = take_frame();
            if (!mfn) return static_cast<int64_t>(i);
            first = *mfn;
        }
        for (uint64_t k = 0; k < size; k++)
            domain.frames[extents[i] + k] = first + k;
        extents[i] = first;
    }
    return static_cast<int64_t>(request.nr_extents);
}

void FakeHypervisor::describe(const FakeDomain& domain, abi::DomctlGetdomaininfo& info) const {
    info = {};
    info.domain = domain.id;
    std::copy(domain.handle.begin(), domain.handle.end(), info.handle.bytes);
    info.flags = (domain.dying ? abi::kDomainInfoDying : 0) | (domain.paused ? abi::kDomainInfoPaused : 0) |
                 (domain.shut_down ? abi::kDomainInfoShutdown : abi::kDomainInfoRunning) |
                 domain.shutdown_reason << abi::kDomainInfoShutdownShift;
    info.tot_pages = domain.frames.size();
    info.shared_info_frame = domain.shared_info;
    info.max_vcpu_id = domain.vcpus == 0 ? abi::kInvalidMaxVcpuId : domain.vcpus - 1;
    const auto known = cpus.domains.find(domain.id);
    info.nr_online_vcpus = domain.vcpus;
    if (known == cpus.domains.end()) return;
    info.cpupool = known->second.pool;
    info.nr_online_vcpus = domain.vcpus - static_cast<uint32_t>(known->second.vcpus.size());
    for (const FakeVcpu& vcpu : known->second.vcpus)
        info.nr_online_vcpus += vcpu.online ? 1 : 0;
}

int64_t FakeHypervisor::domctl(abi::Domctl& request) {
    if (request.interface_version != abi::kDomctlInterfaceVersion) return abi::negated(abi::Errno::kEACCES);
    const auto command = static_cast<abi::DomctlCommand>(request.cmd);
    if (command == abi::DomctlCommand::kCreatedomain) {
        Uuid handle;
        std::copy_n(request.u.createdomain.handle.bytes, handle.size(), handle.begin());
        if (free_.size() < 2) return abi::negated(abi::Errno::kENOMEM);
        FakeDomain& domain = add_domain(handle, 0);
        domain.vcpus = 0;
        cpus.domain(domain.id, 0).vcpus.clear();
        request.domain = domain.id;
        return 0;
    }
    const auto found = domains.find(request.domain);
    if (found == domains.end()) return abi::negated(abi::Errno::kESRCH);
    FakeDomain& domain = found->second;
    int64_t result = 0;
    if (cpus.domctl(domain.id, domain.vcpus, request, result)) return result;
    if (request.cmd == abi::kDomctlGetEndReason) return tell_end_reason(domain, request);
    switch (command) {
        case abi::DomctlCommand::kDestroydomain:
            domain.dying = true;
            if (!keep_dying) release(domain);
            return 0;
        case abi::DomctlCommand::kPausedomain:
            domain.paused = true;
            return 0;
        case abi::DomctlCommand::kUnpausedomain:
            domain.paused = false;
            return 0;
        case abi::DomctlCommand::kMaxVcpus:
            domain.vcpus = request.u.max_vcpus.max;
            cpus.domain(domain.id, domain.vcpus);
            return 0;
        case abi::DomctlCommand::kMaxMem:
            domain.max_memory_kib = request.u.max_mem.max_memkb;
            return 0;
        case abi::DomctlCommand::kSettscinfo:
            domain.tsc_mode = request.u.tsc_info.tsc_mode;
            return 0;
        case abi::DomctlCommand::kHypercallInit:
            domain.hypercall_page = request.u.hypercall_init.gmfn;
            return 0;
        case abi::DomctlCommand::kSetvcpucontext:
            domain.context = at<abi::VcpuGuestContext>(request.u.vcpucontext.ctxt.address);
            return 0;
        case abi::DomctlCommand::kGetdomaininfo:
            describe(domain, request.u.getdomaininfo);
            return 0;
        default:
            return abi::negated(abi::Errno::kENOSYS);
    }
}

int64_t FakeHypervisor::tell_end_reason(const FakeDomain& domain, abi::Domctl& request) {
    if (!keeps_end_reasons) return abi::negated(abi::Errno::kENOSYS);
    if (domain.end_reason.empty()) return abi::negated(abi::Errno::kENODATA);
    abi::DomctlEndReason reason;
    std::memcpy(&reason, request.u.payload, sizeof(reason));
    if (reason.size <= domain.end_reason.size()) return abi::negated(abi::Errno::kENOBUFS);
    std::memcpy(reinterpret_cast<void*>(reason.text.address), domain.end_reason.c_str(),
                domain.end_reason.size() + 1);
    return 0;
}

int64_t FakeHypervisor::list_domains(abi::SysctlGetdomaininfolist& request) {
    auto* infos = reinterpret_cast<abi::DomctlGetdomaininfo*>(request.buffer.address);
    request.num_domains = 0;
    for (const auto& [id, domain] : domains) {
        if (id < request.first_domain || request.num_domains == request.max_domains) continue;
        describe(domain, infos[request.num_domains++]);
    }
    return 0;
}

int64_t FakeHypervisor::perfc(abi::SysctlPerfcOp& request) {
    if (!has_counters) return abi::negated(abi::Errno::kENOSYS);
    request.nr_counters = 2;
    request.nr_vals = 3;
    if (request.desc.address == 0) return 0;
    auto* descriptions = reinterpret_cast<abi::SysctlPerfcDescription*>(request.desc.address);
    std::strcpy(descriptions[0].name, "hypercalls");
    descriptions[0].nr_vals = 2;
    std::strcpy(descriptions[1].name, "traps");
    descriptions[1].nr_vals = 1;
    for (uint32_t i = 0; i < 3; i++)
        reinterpret_cast<uint32_t*>(request.val.address)[i] = 10 + i;
    return 0;
}

int64_t FakeHypervisor::sysctl(abi::Sysctl& request) {
    if (request.interface_version != abi::kSysctlInterfaceVersion) return abi::negated(abi::Errno::kEACCES);
    int64_t result = 0;
    if (cpus.sysctl(request, result)) return result;
    switch (static_cast<abi::SysctlCommand>(request.cmd)) {
        case abi::SysctlCommand::kGetdomaininfolist:
            return list_domains(request.u.getdomaininfolist);
        case abi::SysctlCommand::kPerfcOp:
            return perfc(request.u.perfc_op);
        case abi::SysctlCommand::kPhysinfo:
            request.u.physinfo.total_pages = frame_count_;
            request.u.physinfo.free_pages = free_.size();
            request.u.physinfo.nr_cpus = cpus.count();
            request.u.physinfo.max_cpu_id = cpus.count() - 1;
            return 0;
        case abi::SysctlCommand::kReadconsole: {
            auto& read = request.u.readconsole;
            const size_t start = read.incremental != 0 ? std::min<size_t>(read.index, log.size()) : 0;
            const size_t count = std::min<size_t>(read.count, log.size() - start);
            std::memcpy(reinterpret_cast<char*>(read.buffer.address), log.data() + start, count);
            read.count = static_cast<uint32_t>(count);
            read.index = static_cast<uint32_t>(start + count);
            if (read.clear != 0) log.clear();
            return 0;
        }
        default:
            return abi::negated(abi::Errno::kENOSYS);
    }
}

Port FakeEventChannels::bind_interdomain(DomId remote, Port remote_port, Handler handler) {
    bound[next_] = {remote, remote_port, std::move(handler)};
    return Port(next_++);
}

Port FakeEventChannels::bind_virq(abi::Virq virq, Handler handler) {
    bound[next_] = {kDom0, Port(1000 + static_cast<uint32_t>(virq)), std::move(handler)};
    return Port(next_++);
}

void FakeEventChannels::signal(DomId remote, Port remote_port) {
    for (const auto& [local, channel] : bound) {
        if (channel.remote != remote || channel.remote_port != remote_port) continue;
        const Handler handler = channel.handler;
        handler();
        return;
    }
}

}  // namespace torii::dom0::test
