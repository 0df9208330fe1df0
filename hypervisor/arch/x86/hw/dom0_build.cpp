#include "arch/x86/hw/dom0_build.h"

#include <torii/abi/start_info.h>
#include <torii/abi/trap.h>
#include <torii/image/pv_notes.h>

#include <cstring>

#include "arch/x86/hw/kernel_image.h"
#include "arch/x86/hw/options.h"
#include "arch/x86/pv/address_space.h"
#include "arch/x86/pv/dom0_layout.h"
#include "arch/x86/pv/hypercall_page.h"
#include "arch/x86/pv/page_type.h"
#include "base/log.h"
#include "core/call/wall_clock.h"
#include "core/domain/time.h"
#include "core/domain/vcpu_run.h"
#include "core/event/global_virq.h"
#include "core/interrupt/interrupts.h"
#include "core/memory/allocator.h"
#include "core/memory/heap.h"
#include "core/memory/m2p.h"
#include "core/memory/reservation.h"
#include "port/frames.h"
#include "port/machine.h"

namespace torii::hw {
namespace {

constexpr uint64_t kTableFlags =
    pv::kPtePresent | pv::kPteWrite | pv::kPteUser | pv::kPteAccessed | pv::kPteDirty;
// Linux demands "writable page tables", by which it means that the hypervisor emulates its stores to them.
constexpr uint32_t kFeaturesOffered = abi::feature_bit(abi::Feature::kWritablePageTables) |
                                      abi::feature_bit(abi::Feature::kMmuPtUpdatePreserveAd) |
                                      abi::feature_bit(abi::Feature::kGnttabMapAvailBits) |
                                      abi::feature_bit(abi::Feature::kPaePgdirAbove4gb) |
                                      abi::feature_bit(abi::Feature::kDom0);
// Kept for guests' overhead and the hypervisor's own growth when dom0_mem isn't given.
constexpr uint64_t kReservePages = (16 << 20) >> kPageShift;
constexpr unsigned kLargestChunkOrder = 18;

[[noreturn]] void give_up(const char* what) {
    log(LogLevel::kError, "dom0 can't be started: {}", what);
    BUG("no control domain");
}

template <class T>
T expect(Result<T> result, const char* what) {
    if (!result.ok()) {
        log(LogLevel::kError, "{}: error {}", what, result.error());
        give_up(what);
    }
    return result.take();
}
void expect(Result<> result, const char* what) {
    if (!result.ok()) give_up(what);
}

// The domain's memory: a few large blocks, in the order of its frame numbers.
class Memory {
public:
    void allocate(Domain& domain, uint64_t pages) {
        domain.frame_limit = pages;
        uint64_t have = 0;
        unsigned order = kLargestChunkOrder;
        while (have < pages) {
            while ((uint64_t{1} << order) > pages - have)
                --order;
            Result<Mfn> block = allocate_domain_frames(domain, order, {.keep_content = true});
            if (!block.ok()) {
                if (order-- == 0) give_up("not enough memory for dom0_mem");
                continue;
            }
            if (count_ == kMostChunks) give_up("memory is too fragmented");
            chunks_[count_++] = {have, block.value()};
            have += uint64_t{1} << order;
        }
        pages_ = pages;
    }

    [[nodiscard]] Mfn operator[](Pfn pfn) const {
        unsigned i = last_;
        if (!covers(i, pfn)) {
            for (i = 0; i < count_ && !covers(i, pfn); ++i) {
            }
            if (i == count_) BUG("a frame beyond dom0's memory");
            last_ = i;
        }
        return chunks_[i].first + (pfn.raw() - chunks_[i].pfn);
    }

    void write(Pfn pfn, uint64_t offset, const void* from, uint64_t bytes) const {
        const auto* source = static_cast<const unsigned char*>(from);
        while (bytes != 0) {
            const Pfn at = pfn + (offset >> kPageShift);
            const uint64_t in_page = offset & ~kPageMask;
            const uint64_t now = bytes < kPageSize - in_page ? bytes : kPageSize - in_page;
            const MappedFrame page((*this)[at]);
            memcpy(page.as<unsigned char>() + in_page, source, now);
            source += now;
            offset += now;
            bytes -= now;
        }
    }
    void zero(Pfn pfn, uint64_t offset, uint64_t bytes) const {
        while (bytes != 0) {
            const uint64_t in_page = offset & ~kPageMask;
            const uint64_t now = bytes < kPageSize - in_page ? bytes : kPageSize - in_page;
            const MappedFrame page((*this)[pfn + (offset >> kPageShift)]);
            memset(page.as<unsigned char>() + in_page, 0, now);
            offset += now;
            bytes -= now;
        }
    }

private:
    static constexpr unsigned kMostChunks = 512;
    struct Chunk {
        uint64_t pfn = 0;
        Mfn first{};
    };
    [[nodiscard]] bool covers(unsigned i, Pfn pfn) const {
        if (i >= count_ || pfn.raw() < chunks_[i].pfn) return false;
        return pfn.raw() < (i + 1 < count_ ? chunks_[i + 1].pfn : pages_);
    }
    Chunk chunks_[kMostChunks];
    unsigned count_ = 0;
    uint64_t pages_ = 0;
    mutable unsigned last_ = 0;
};

// Page tables out of a run of the domain's frames, the L4 first.
class TableBuilder {
public:
    TableBuilder(const Memory& memory, Pfn first, uint64_t count)
        : memory_(memory), next_(first), end_(first + count) {
        root_ = take();
    }
    void use(Pfn first, uint64_t count) {
        next_ = first;
        end_ = first + count;
    }
    [[nodiscard]] Pfn root() const { return root_; }

    void map(uint64_t address, Mfn mfn, uint64_t flags) {
        // The same L1 as last time, nearly always.
        if (address >> 21 != cached_region_) {
            Mfn table = memory_[root_];
            for (unsigned level = 4; level > 1; --level)
                table = descend(table, level, address);
            cached_region_ = address >> 21;
            cached_l1_ = table;
        }
        const MappedFrame page(cached_l1_);
        page.as<uint64_t>()[pv::l1_slot(address)] = address_of(mfn).raw() | flags;
    }

private:
    Pfn take() {
        if (next_ == end_) BUG("the plan has too few page tables");
        memory_.zero(next_, 0, kPageSize);
        const Pfn pfn = next_;
        ++next_;
        return pfn;
    }
    Mfn descend(Mfn table, unsigned level, uint64_t address) {
        const MappedFrame page(table);
        uint64_t& entry = page.as<uint64_t>()[(address >> (kPageShift + 9 * (level - 1))) & 511];
        if (entry == 0) entry = address_of(memory_[take()]).raw() | kTableFlags;
        return frame_of(MachineAddr(entry & pv::kPteAddress));
    }

    const Memory& memory_;
    Pfn next_;
    Pfn end_;
    Pfn root_{};
    uint64_t cached_region_ = ~uint64_t{0};
    Mfn cached_l1_{};
};

[[gnu::section(".boot.bss")]] constinit Memory memory;
constinit pv::Dom0Layout layout;

void load_kernel(const image::ElfImage& kernel, const image::PvNotes& notes) {
    for (const image::Segment& segment : kernel.segments()) {
        const uint64_t start = notes.pseudo_physical(segment);
        memory.write(Pfn(0), start, segment.file.data(), segment.file.size());
        memory.zero(Pfn(0), start + segment.file.size(), segment.memory_size - segment.file.size());
    }
    if (notes.hypercall_page.has_value()) {
        const uint64_t at = *notes.hypercall_page - notes.virt_base;
        const MappedFrame page(memory[Pfn(at >> kPageShift)]);
        pv::fill_hypercall_page(std::span<uint8_t, kPageSize>(page.as<uint8_t>(), kPageSize));
    }
}

void fill_p2m() {
    for (uint64_t i = 0; i < layout.p2m_pages; ++i) {
        const MappedFrame page(memory[layout.p2m + i]);
        auto* const entries = page.as<uint64_t>();
        for (uint64_t j = 0; j < kPageSize / 8; ++j) {
            const Pfn pfn(i * (kPageSize / 8) + j);
            if (pfn.raw() >= layout.total_pages) {
                entries[j] = kInvalidMfn.raw();
                continue;
            }
            const Mfn mfn = memory[pfn];
            entries[j] = mfn.raw();
            m2p_set(mfn, pfn);
        }
    }
}

Pfn build_page_tables() {
    TableBuilder builder(memory, layout.page_tables, layout.page_table_count);
    const Pfn tables_end = layout.page_tables + layout.page_table_count;
    for (Pfn pfn{}; pfn.raw() < layout.mapped_pages; ++pfn) {
        const bool table = pfn >= layout.page_tables && pfn < tables_end;
        builder.map(layout.address_of(pfn), memory[pfn], table ? kTableFlags & ~pv::kPteWrite : kTableFlags);
    }
    if (layout.p2m_apart) {
        builder.use(layout.p2m + layout.p2m_pages, layout.p2m_tables);
        for (uint64_t i = 0; i < layout.p2m_pages; ++i)
            builder.map(layout.p2m_address + (i << kPageShift), memory[layout.p2m + i], kTableFlags);
    }
    return builder.root();
}

void write_start_info(const Domain& domain, std::string_view arguments, uint64_t ramdisk_bytes) {
    const MappedFrame page(memory[layout.start_info]);
    memset(page.as<void>(), 0, kPageSize);
    auto& info = *page.as<abi::StartInfo>();
    memcpy(info.magic, abi::kStartInfoMagic, sizeof(abi::kStartInfoMagic));
    info.nr_pages = layout.total_pages;
    info.shared_info = address_of(domain.shared_info_frame).raw();
    info.flags = abi::kStartPrivileged | abi::kStartInitialDomain;
    info.pt_base = layout.address_of(layout.page_tables);
    info.nr_pt_frames = layout.page_table_count;
    info.mfn_list = layout.p2m_address;
    if (layout.p2m_apart) {
        info.first_p2m_pfn = layout.p2m.raw();
        info.nr_p2m_frames = layout.p2m_pages + layout.p2m_tables;
    }
    if (ramdisk_bytes != 0) {
        info.mod_len = ramdisk_bytes;
        info.mod_start = layout.ramdisk_mapped ? layout.address_of(layout.ramdisk) : layout.ramdisk.raw();
        if (!layout.ramdisk_mapped) info.flags |= abi::kStartModuleIsPfn;
    }
    const size_t length =
        arguments.size() < sizeof(info.cmd_line) ? arguments.size() : sizeof(info.cmd_line) - 1;
    memcpy(info.cmd_line, arguments.data(), length);
}

void start_context(Vcpu& vcpu, uint64_t entry, Pfn root) {
    pv::GuestRegisters& r = *vcpu.pv.registers;
    memset(&r, 0, sizeof(r));
    r.rip = entry;
    r.cs = abi::kFlatRing3Cs64;
    r.ss = abi::kFlatRing3Ss64;
    r.rflags = pv::kFlagInterrupt | 2;
    r.rsp = layout.address_of(layout.stack) + kPageSize;
    r.rsi = layout.address_of(layout.start_info);
    vcpu.pv.kernel_ss = abi::kFlatRing3Ss64;
    vcpu.entry.kernel_sp = r.rsp;
    for (;;) {
        const Result<> rooted = pv::set_kernel_root(vcpu, memory[root]);
        if (rooted.ok()) break;
        if (rooted.error() != Errno::kERESTART) give_up("its page tables are refused");
    }
    Domain& domain = *vcpu.domain;
    const LockGuard guard(domain.page_table_lock);
    Budget budget(~0u);
    expect(pv::pin_table(domain, memory[root], 4, budget), "its page table can't be pinned");
    vcpu.initialised = true;
}

uint64_t dom0_pages() {
    const uint64_t free = free_frame_count();
    const uint64_t most = free > kReservePages ? free - kReservePages : 0;
    const uint64_t wished = options.dom0_memory >> kPageShift;
    return wished == 0 || wished > most ? most : wished;
}

void grant_devices(Domain& domain) {
    domain.io.all_memory = true;
    auto* const bits = static_cast<uint64_t*>(
        expect(heap_allocate(IoRights::kPortWords * sizeof(uint64_t)), "no memory for its port rights"));
    for (unsigned i = 0; i < IoRights::kPortWords; ++i)
        bits[i] = ~uint64_t{0};
    // The hypervisor's own: both legacy interrupt controllers, the timer, the serial console.
    const auto forbid = [bits](unsigned first, unsigned last) {
        for (unsigned port = first; port <= last; ++port)
            bits[port / 64] &= ~(uint64_t{1} << (port % 64));
    };
    forbid(0x20, 0x21);
    forbid(0xa0, 0xa1);
    forbid(0x40, 0x43);
    if (options.serial_console) forbid(options.com1_port, options.com1_port + 7u);
    domain.io.port_bits = bits;
}

}  // namespace

Domain& build_dom0(const BootInformation& info) {
    if (info.module_count == 0) give_up("the boot loader gave no kernel: add it as the first module");
    const BootModule& kernel_module = info.modules[0];
    const image::Bytes file(static_cast<const uint8_t*>(direct_address(frame_of(kernel_module.start))) +
                                offset_in_page(kernel_module.start),
                            kernel_module.end - kernel_module.start);
    const image::Bytes elf = unpack_boot_kernel(file);
    const auto kernel = image::ElfImage::parse(elf);
    if (!kernel) give_up(image::to_string(kernel.error));
    const auto notes = image::read_pv_notes(kernel.value, kFeaturesOffered);
    if (!notes) give_up(image::to_string(notes.error));
    log(LogLevel::kInfo, "dom0 kernel: {} {}, entry {x}, arguments: {}", notes.value.guest_os,
        notes.value.guest_version, notes.value.entry, kernel_module.arguments);

    const BootModule ramdisk = info.module_count > 1 ? info.modules[1] : BootModule{};
    const uint64_t ramdisk_bytes = ramdisk.end - ramdisk.start;
    expect(pv::plan_dom0(notes.value, kernel.value, dom0_pages(), ramdisk_bytes, layout),
           "its memory doesn't hold kernel, initial RAM disk and page tables; raise dom0_mem");

    const DomainLimits limits{.vcpus = options.dom0_vcpus != 0 ? options.dom0_vcpus : cpu_count(),
                              .event_ports = ~0u,
                              .grant_frames = 64,
                              .maptrack_frames = 1024};
    Domain& domain = *expect(create_domain(kDom0, limits, true), "no memory for the domain");
    memory.allocate(domain, layout.total_pages);
    if (options.dom0_memory_limit != 0) domain.frame_limit = options.dom0_memory_limit >> kPageShift;
    if (options.dom0_memory_limit == 0) domain.frame_limit = ~uint64_t{0};
    grant_devices(domain);
    global_virqs.set_default_handler(domain.events);
    domain.events.limit_pirqs(DeviceInterrupts::end());

    load_kernel(kernel.value, notes.value);
    release_unpacked_kernel();
    memory.write(layout.ramdisk, 0, direct_map.base + ramdisk.start.raw(), ramdisk_bytes);
    fill_p2m();
    const Pfn root = build_page_tables();
    write_start_info(domain, kernel_module.arguments, ramdisk_bytes);

    for (uint32_t i = 0; i < limits.vcpus; ++i) {
        Vcpu& vcpu = *expect(create_vcpu(domain, VcpuId(i)), "no memory for a vCPU");
        publish_time(vcpu);
    }
    publish_wall_clock(domain);
    start_context(*domain.vcpu(VcpuId(0)), notes.value.entry, root);
    log(LogLevel::kInfo, "dom0: {} MiB, {} vCPUs, {} free frames left", layout.total_pages >> 8, limits.vcpus,
        free_frame_count());
    return domain;
}

}  // namespace torii::hw
