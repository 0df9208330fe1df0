#include "builder/apply.h"

#include <torii/abi/basic_types.h>
#include <torii/abi/grant_table.h>
#include <torii/abi/shared_info.h>
#include <torii/abi/start_info.h>
#include <torii/abi/trap.h>
#include <torii/failure.h>

#include <algorithm>
#include <cstring>

#include "log/log.h"

namespace torii::dom0 {
namespace {

constexpr uint64_t kPage = abi::kPageSize;
constexpr uint64_t kPagesPerMapping = 8192;  // 32 MiB: bounds what a mapping costs dom0 in frame lists
constexpr size_t kRunsPerCall = 1024;
constexpr uint64_t kMemorySlackKib =
    1024;  // above the guest's own limit, for rounding by toolstack and balloon

// x86-64 page-table entries.
constexpr uint64_t kPresent = 1u << 0;
constexpr uint64_t kWritable = 1u << 1;
constexpr uint64_t kUser = 1u << 2;
constexpr uint64_t kAccessed = 1u << 5;
constexpr uint64_t kDirty = 1u << 6;
constexpr uint64_t kLeafFlags = kPresent | kUser | kAccessed | kDirty;
constexpr uint64_t kTableFlags = kPresent | kWritable | kUser | kAccessed | kDirty;

constexpr uint64_t kInterruptsEnabled = 1u << 9;  // rflags.IF

template <typename T>
std::span<T> as_words(std::span<std::byte> memory) {
    return {reinterpret_cast<T*>(memory.data()), memory.size() / sizeof(T)};
}

}  // namespace

DomainAssembly::DomainAssembly(Hypervisor& hypervisor, const BuildRequest& request, const Plan& plan)
    : hypervisor_(hypervisor), request_(request), plan_(plan), frames_(plan.memory_pages) {}

DomainAssembly::~DomainAssembly() {
    if (!domain_) return;
    kept_.clear();  // a mapping of ours would keep the dead domain's frames
    try {
        hypervisor_.destroy(*domain_);
    } catch (const Failure& failure) {
        log_error("a half-built domain stays behind: {}", failure.what());
    }
}

void DomainAssembly::create(const FailPointHook& fail_point) {
    DomainLimits limits;
    limits.max_vcpus = request_.vcpus;
    domain_ = hypervisor_.create_domain(request_.uuid, limits);
    fail_point("create.domain");
    hypervisor_.set_max_vcpus(*domain_, request_.vcpus);
    hypervisor_.set_max_memory(*domain_,
                               std::max(request_.memory_kib, request_.max_memory_kib) + kMemorySlackKib);
    try {
        if (request_.tsc_policy != TscPolicy::kDefault)
            hypervisor_.set_tsc_policy(*domain_, request_.tsc_policy);
    } catch (const Failure& failure) {
        if (failure.code() != ErrorCode::kNotSupported) throw;
    }
    xenstore_port_ = hypervisor_.allocate_unbound_port(*domain_, kDom0);
    console_port_ = hypervisor_.allocate_unbound_port(*domain_, kDom0);
}

void DomainAssembly::populate() {
    const uint64_t whole_runs = plan_.memory_pages / FrameMap::kRunFrames;
    std::vector<uint64_t> extents;
    for (uint64_t run = 0; run < whole_runs;) {
        const size_t count = std::min<uint64_t>(kRunsPerCall, whole_runs - run);
        extents.resize(count);
        for (size_t i = 0; i < count; i++)
            extents[i] = (run + i) * FrameMap::kRunFrames;
        const size_t got = hypervisor_.populate(*domain_, FrameMap::kRunOrder, extents);
        for (size_t i = 0; i < got; i++) {
            frames_.set_run(Pfn((run + i) * FrameMap::kRunFrames), Mfn(extents[i]));
        }
        run += got;
        if (got == count) continue;
        populate_singly(Pfn(run * FrameMap::kRunFrames), FrameMap::kRunFrames);
        run++;
    }
    const uint64_t rest = whole_runs * FrameMap::kRunFrames;
    if (rest < plan_.memory_pages) populate_singly(Pfn(rest), plan_.memory_pages - rest);
}

void DomainAssembly::populate_singly(Pfn first, uint64_t count) {
    std::vector<uint64_t> extents(count);
    for (uint64_t i = 0; i < count; i++)
        extents[i] = first.raw() + i;
    const size_t got = hypervisor_.populate(*domain_, 0, extents);
    if (got < count) {
        const HostInfo host = hypervisor_.host();
        const uint64_t missing = plan_.memory_pages - first.raw() - got;
        throw Failure(
            ErrorCode::kNoMemory,
            fmt::format("the machine has not the {} MiB of free memory that this domain asks for: {} MiB are "
                        "missing, {} MiB are free. Ask for less, destroy a domain, or shrink one with "
                        "`torii mem-set`",
                        plan_.memory_pages >> 8, (missing + 255) >> 8, host.free_pages >> 8));
    }
    for (uint64_t i = 0; i < count; i++)
        frames_.set_frame(first.plus(i), Mfn(extents[i]));
}

ForeignMapping DomainAssembly::map(FrameRange range) {
    std::vector<uint64_t> mfns(range.count);
    for (uint64_t i = 0; i < range.count; i++)
        mfns[i] = frames_.at(range.first.plus(i)).raw();
    return hypervisor_.calls().map_frames(*domain_, mfns);
}

void DomainAssembly::load_segment(const KernelImage& kernel, const KernelSegment& segment,
                                  std::span<std::byte> memory) {
    const uint64_t offset = segment.virtual_address - plan_.mapped_virtual - plan_.kernel.first.raw() * kPage;
    kernel.read(segment.file_offset, memory.subspan(offset, segment.file_bytes));
    const auto rest = memory.subspan(offset + segment.file_bytes, segment.memory_bytes - segment.file_bytes);
    std::memset(rest.data(), 0, rest.size());
}

void DomainAssembly::load_kernel(const KernelImage& kernel) {
    ForeignMapping mapping = map(plan_.kernel);
    for (const KernelSegment& segment : kernel.description().segments) {
        load_segment(kernel, segment, mapping.bytes());
    }
    keep(std::move(mapping));
    if (const auto page = kernel.description().hypercall_page) {
        const Pfn pfn((*page - plan_.mapped_virtual) / kPage);
        if (*page < plan_.mapped_virtual || !plan_.kernel.contains(pfn)) {
            throw Failure(ErrorCode::kNoKernel,
                          fmt::format("the kernel's hypercall page {:#x} lies outside its image", *page));
        }
        hypervisor_.fill_hypercall_page(*domain_, frames_.at(pfn));
    }
}

void DomainAssembly::load_ramdisk(int file, const PercentCallback& percent) {
    uint64_t done = 0;
    while (done < plan_.ramdisk_bytes) {
        const uint64_t bytes = std::min(plan_.ramdisk_bytes - done, kPagesPerMapping * kPage);
        ForeignMapping mapping =
            map(FrameRange{plan_.ramdisk.first.plus(done / kPage), (bytes + kPage - 1) / kPage});
        if (!read_file_exactly(file, done, mapping.bytes().first(bytes))) {
            throw Failure(
                ErrorCode::kInvalidArgument,
                fmt::format("the ramdisk {} has become shorter while it was being read, or cannot be read",
                            request_.ramdisk_path));
        }
        std::memset(mapping.data() + bytes, 0, mapping.bytes().size() - bytes);
        keep(std::move(mapping));
        done += bytes;
        percent(static_cast<unsigned>(done * 100 / plan_.ramdisk_bytes));
    }
}

void DomainAssembly::write_table(const PageTable& table, std::span<uint64_t> entries) const {
    for (unsigned i = 0; i < table.entry_count; i++) {
        uint64_t entry = 0;
        if (table.level == 1) {
            const Pfn target(table.first_target + i);
            entry = frames_.at(target).raw() * kPage | kLeafFlags;
            if (!plan_.is_page_table(target)) entry |= kWritable;
        } else {
            entry = frames_.at(plan_.tables[table.first_target + i].frame).raw() * kPage | kTableFlags;
        }
        entries[table.first_entry + i] = entry;
    }
}

void DomainAssembly::write_page_tables() {
    write_p2m();
    write_start_info();
    write_shared_info();
    seed_grants();
    {
        ForeignMapping own = map(plan_.page_tables);
        ForeignMapping of_p2m;
        if (plan_.p2m_tables.count != 0) of_p2m = map(plan_.p2m_tables);
        std::memset(own.data(), 0, own.bytes().size());
        if (!of_p2m.empty()) std::memset(of_p2m.data(), 0, of_p2m.bytes().size());
        for (const PageTable& table : plan_.tables) {
            const bool in_own = plan_.page_tables.contains(table.frame);
            const FrameRange& range = in_own ? plan_.page_tables : plan_.p2m_tables;
            const auto memory = (in_own ? own : of_p2m).bytes();
            write_table(table, as_words<uint64_t>(
                                   memory.subspan((table.frame.raw() - range.first.raw()) * kPage, kPage)));
        }
        // The mappings end here: the hypervisor takes no page as a page table while someone can write to it.
    }
    hypervisor_.pin_top_level_table(*domain_, frames_.at(plan_.page_tables.first));
}

void DomainAssembly::write_p2m() {
    uint64_t pfn = 0;
    for (uint64_t page = 0; page < plan_.p2m.count; page += kPagesPerMapping) {
        const uint64_t count = std::min(kPagesPerMapping, plan_.p2m.count - page);
        ForeignMapping mapping = map(FrameRange{plan_.p2m.first.plus(page), count});
        for (uint64_t& entry : as_words<uint64_t>(mapping.bytes())) {
            entry = pfn < plan_.memory_pages ? frames_.at(Pfn(pfn)).raw() : ~uint64_t{0};
            pfn++;
        }
        keep(std::move(mapping));
    }
}

void DomainAssembly::write_start_info() {
    // start_info, the xenstore ring and the console ring follow each other.
    ForeignMapping mapping = map(FrameRange{plan_.start_info, 3});
    std::memset(mapping.data(), 0, mapping.bytes().size());
    auto& info = *reinterpret_cast<abi::StartInfo*>(mapping.data());
    const auto domain = hypervisor_.domain(*domain_);
    if (!domain) throw Failure(ErrorCode::kNoDomain, "the domain was destroyed while it was being built");
    std::copy(std::begin(abi::kStartInfoMagic), std::end(abi::kStartInfoMagic), info.magic);
    info.nr_pages = plan_.memory_pages;
    info.shared_info = domain->shared_info.raw() * kPage;
    info.flags = abi::kStartVirtualP2m;
    info.store_mfn = frames_.at(plan_.xenstore).raw();
    info.store_evtchn = xenstore_port_.raw();
    info.console.dom_u.mfn = frames_.at(plan_.console).raw();
    info.console.dom_u.evtchn = console_port_.raw();
    info.pt_base = plan_.page_tables_virtual;
    info.nr_pt_frames = plan_.page_tables.count;
    info.mfn_list = plan_.p2m_virtual;
    info.first_p2m_pfn = plan_.p2m.first.raw();
    info.nr_p2m_frames = plan_.p2m.count + plan_.p2m_tables.count;
    if (plan_.ramdisk_bytes != 0) {
        info.mod_start = plan_.ramdisk_mapped ? plan_.ramdisk_virtual : plan_.ramdisk.first.raw();
        info.mod_len = plan_.ramdisk_bytes;
        if (!plan_.ramdisk_mapped) info.flags |= abi::kStartModuleIsPfn;
    }
    request_.command_line.copy(info.cmd_line, sizeof(info.cmd_line) - 1);
    keep(std::move(mapping));
}

void DomainAssembly::write_shared_info() {
    const auto domain = hypervisor_.domain(*domain_);
    if (!domain) throw Failure(ErrorCode::kNoDomain, "the domain was destroyed while it was being built");
    const uint64_t frame = domain->shared_info.raw();
    const ForeignMapping mapping = hypervisor_.calls().map_frames(*domain_, std::span(&frame, 1));
    auto& shared = *reinterpret_cast<abi::SharedInfo*>(mapping.data());
    // Every virtual CPU starts with events held back.
    for (abi::VcpuInfo& vcpu : shared.vcpu_info)
        vcpu.evtchn_upcall_mask = 1;
}

void DomainAssembly::seed_grants() {
    const ForeignMapping mapping = hypervisor_.calls().map_resource(*domain_, abi::ResourceType::kGrantTable,
                                                                    abi::kResourceGrantTableShared, 0, 1);
    const auto entries = as_words<abi::GrantEntryV1>(mapping.bytes());
    const auto grant = [&](uint32_t reference, Pfn pfn) {
        abi::GrantEntryV1& entry = entries[reference];
        entry.domid = kDom0.raw();
        entry.frame = static_cast<uint32_t>(frames_.at(pfn).raw());
        entry.flags = abi::kGtfPermitAccess;
    };
    grant(abi::kGrantReservedConsole, plan_.console);
    grant(abi::kGrantReservedXenstore, plan_.xenstore);
}

void DomainAssembly::start_vcpu() {
    abi::VcpuGuestContext context{};
    context.flags = abi::kVgcfInKernel | abi::kVgcfOnline;
    context.user_regs.rip = plan_.entry;
    context.user_regs.rsp = plan_.boot_stack_top_virtual;
    context.user_regs.rsi = plan_.start_info_virtual;
    context.user_regs.rflags = kInterruptsEnabled;
    context.user_regs.cs = abi::kFlatRing3Cs64;
    context.user_regs.ss = abi::kFlatRing3Ss64;
    context.user_regs.ds = abi::kFlatRing3Ds64;
    context.user_regs.es = abi::kFlatRing3Ds64;
    context.user_regs.fs = abi::kFlatRing3Ds64;
    context.user_regs.gs = abi::kFlatRing3Ds64;
    context.kernel_ss = abi::kFlatRing3Ss64;
    context.kernel_sp = plan_.boot_stack_top_virtual;
    context.ctrlreg[3] = abi::cr3_from_mfn(frames_.at(plan_.page_tables.first).raw());
    hypervisor_.set_vcpu_context(*domain_, 0, context);
}

BuiltDomain DomainAssembly::finish() {
    const BuiltDomain built{*domain_, frames_.at(plan_.xenstore), xenstore_port_, frames_.at(plan_.console),
                            console_port_};
    domain_.reset();
    // A builder is a process of its own that ends now. Its end unmaps everything in one go; unmapping page by
    // page would trap to the hypervisor for each of these thousands of entries.
    for (ForeignMapping& mapping : kept_)
        mapping.abandon();
    kept_.clear();
    return built;
}

}  // namespace torii::dom0
