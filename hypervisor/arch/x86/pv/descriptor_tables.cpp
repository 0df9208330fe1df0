#include "arch/x86/pv/descriptor_tables.h"

#include <torii/abi/trap.h>

#include "arch/x86/pv/descriptors.h"
#include "arch/x86/pv/handlers.h"
#include "arch/x86/pv/page_type.h"
#include "base/log.h"
#include "base/once.h"
#include "core/call/guest_ptr.h"
#include "port/context.h"
#include "port/frames.h"
#include "port/machine.h"

namespace torii::pv {
namespace {

// All descriptors of a page, checked and with ring 3 forced where they say less. The frame is claimed by type
// and not writable meanwhile.
Result<> validate_descriptors(Mfn mfn) {
    const MappedFrame page(mfn);
    auto* const descriptors = page.as<uint64_t>();
    for (unsigned i = 0; i < kDescriptorsPerPage; ++i) {
        const uint64_t raw = read_once(descriptors[i]);
        const std::optional<uint64_t> checked = checked_descriptor(raw);
        if (!checked.has_value()) return Errno::kEINVAL;
        if (*checked != raw) write_once(descriptors[i], *checked);
    }
    return {};
}

}  // namespace

Result<> get_descriptor_page(Domain& domain, Mfn mfn) {
    FrameRef frame = FrameRef::take(mfn, domain.id);
    if (!frame) return Errno::kEINVAL;
    const TypeWord word = frame->type_word();
    if (word.type() == FrameType::kSegDesc && word.count() != 0) {
        frame->type.fetch_add(1, std::memory_order_relaxed);
        (void)frame.release();
        return {};
    }
    if (word.count() != 0 || word.partial()) {
        log_guest(LogLevel::kInfo, "d{} frame {x} refused as descriptor table: it is in use as type {}",
                  domain.id, mfn, word.type());
        return Errno::kEINVAL;
    }
    uint64_t seen = word.raw;
    if (!frame->type.compare_exchange_strong(seen, TypeWord::of(FrameType::kSegDesc, 1, 0).raw))
        return Errno::kEINVAL;
    if (word.type() != FrameType::kNone) flush_before_next_type(*frame);
    if (const Result<> valid = validate_descriptors(mfn); !valid.ok()) {
        frame->type.store(TypeWord::of(FrameType::kNone, 0, 0).raw, std::memory_order_release);
        log_guest(LogLevel::kInfo,
                  "d{} frame {x} refused as descriptor table: a descriptor in it is not allowed", domain.id,
                  mfn);
        return valid;
    }
    frame->type.fetch_or(TypeWord::kValidated, std::memory_order_release);
    (void)frame.release();
    return {};
}

void put_descriptor_page(Mfn mfn) {
    Frame& frame = frame_at(mfn);
    const TypeWord word = frame.type_word();
    BUG_ON(word.type() != FrameType::kSegDesc || word.count() == 0);
    if (word.count() == 1) {
        frame.set_stamp(take_flush_stamp());
        frame.type.store(TypeWord::of(FrameType::kSegDesc, 0, 0).raw, std::memory_order_release);
    } else {
        frame.type.fetch_sub(1, std::memory_order_release);
    }
    put_frame(frame);
}

Result<> set_gdt_frames(Vcpu& vcpu, const Mfn* frames, uint32_t entries) {
    Domain& domain = *vcpu.domain;
    const LockGuard guard(domain.page_table_lock);
    const auto pages = static_cast<unsigned>(pages_for(entries * uint64_t{8}));
    for (unsigned i = 0; i < pages; ++i) {
        if (const Result<> got = get_descriptor_page(domain, frames[i]); !got.ok()) {
            while (i-- > 0)
                put_descriptor_page(frames[i]);
            return got;
        }
    }
    Mfn old[abi::kFirstReservedGdtPage];
    for (unsigned i = 0; i < abi::kFirstReservedGdtPage; ++i) {
        old[i] = vcpu.pv.gdt_frames[i];
        vcpu.pv.gdt_frames[i] = i < pages ? frames[i] : Mfn{};
    }
    vcpu.pv.gdt_entries = entries;
    if (current_vcpu() == &vcpu) load_gdt(vcpu);
    for (const Mfn mfn : old) {
        if (mfn != Mfn{}) put_descriptor_page(mfn);
    }
    return {};
}

void release_gdt_pages(Vcpu& vcpu) {
    const LockGuard guard(vcpu.domain->page_table_lock);
    for (Mfn& mfn : vcpu.pv.gdt_frames) {
        if (mfn != Mfn{}) put_descriptor_page(mfn);
        mfn = Mfn{};
    }
    vcpu.pv.gdt_entries = 0;
}

CallResult set_gdt(CallContext& context) {
    const uint64_t entries = context.arg<1>();
    if (entries > abi::kFirstReservedGdtEntry) return Errno::kEINVAL;
    const GuestArray<uint64_t> list(context.arg<0>());
    const uint64_t pages = pages_for(entries * 8);
    uint64_t raw[abi::kFirstReservedGdtPage]{};
    TRY(list.read_many(0, raw, pages));
    Mfn frames[abi::kFirstReservedGdtPage];
    for (uint64_t i = 0; i < pages; ++i)
        frames[i] = Mfn(raw[i]);
    TRY(set_gdt_frames(context.vcpu, frames, static_cast<uint32_t>(entries)));
    return 0;
}

CallResult update_descriptor(CallContext& context) {
    const MachineAddr place(context.arg<0>());
    if ((place.raw() & 7) != 0) return Errno::kEINVAL;
    const std::optional<uint64_t> descriptor = checked_descriptor(context.arg<1>());
    if (!descriptor.has_value()) return Errno::kEINVAL;
    Domain& domain = context.domain();
    const LockGuard guard(domain.page_table_lock);
    const FrameRef frame = FrameRef::take(frame_of(place), domain.id);
    if (!frame) return Errno::kEINVAL;
    const TypeWord word = frame->type_word();
    // A descriptor table of a vCPU, or a page that will become one later.
    const bool in_table = word.type() == FrameType::kSegDesc && word.count() != 0;
    if (!in_table && !get_writable(*frame)) return Errno::kEINVAL;
    {
        const MappedFrame page(frame_of(place));
        write_once(page.as<uint64_t>()[offset_in_page(place) / 8], *descriptor);
    }
    if (!in_table) put_writable(*frame);
    return 0;
}

}  // namespace torii::pv
