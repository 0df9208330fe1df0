// mmu_update: batches of page-table entries and M2P entries (public xen.h).
#include <torii/abi/domid.h>
#include <torii/abi/mmu.h>

#include <optional>

#include "arch/x86/pv/foreign.h"
#include "arch/x86/pv/handlers.h"
#include "arch/x86/pv/page_type.h"
#include "base/once.h"
#include "core/call/guest_ptr.h"
#include "core/memory/m2p.h"
#include "port/frames.h"

namespace torii::pv {
namespace {

// In the count of a call that is issued again: `done` goes on from the guest's own word.
constexpr uint32_t kResumed = 1u << 31;
constexpr uint32_t kRequestsPerFetch = 16;
constexpr uint32_t kRequestsPerCall = 2048;

// A batch works on one table for long: it stays mapped until the next request lies elsewhere.
class Batch {
public:
    Batch(Domain& table_owner, Domain& frame_owner) : table_owner_(table_owner), frame_owner_(frame_owner) {}

    Result<> apply(const abi::MmuUpdate& request) {
        switch (static_cast<abi::MmuUpdateType>(request.ptr & abi::kMmuUpdateTypeMask)) {
            case abi::MmuUpdateType::kNormalPtUpdate:
            case abi::MmuUpdateType::kPtUpdateNoTranslate:
                return write(request, false);
            case abi::MmuUpdateType::kPtUpdatePreserveAd:
                return write(request, true);
            case abi::MmuUpdateType::kMachphysUpdate:
                return set_m2p(request);
        }
        return Errno::kEINVAL;
    }

private:
    Result<> write(const abi::MmuUpdate& request, bool preserve_ad) {
        const MachineAddr place(request.ptr & ~abi::kMmuUpdateTypeMask);
        const Mfn table = frame_of(place);
        if ((place.raw() & 7) != 0) return Errno::kEINVAL;
        const Pte desired{request.val};
        if (table == l1_mfn_) [[likely]]
            return write_l1_entry(table_owner_, frame_owner_, entry_at(place), desired, preserve_ad);
        return write_elsewhere(table, place, desired, preserve_ad);
    }

    // The first request for a table: what is it?
    Result<> write_elsewhere(Mfn table, MachineAddr place, Pte desired, bool preserve_ad) {
        if (!frame_exists(table)) return Errno::kEINVAL;
        Frame& frame = frame_at(table);
        const TypeWord word = frame.type_word();
        // The page-table lock is held, so a validated table of this owner stays one, and stays allocated.
        if (frame.owner() == table_owner_.id && word.count() != 0 && word.validated() &&
            is_page_table(word.type())) {
            if (word.type() == FrameType::kL1) {
                map(table);
                l1_mfn_ = table;
                return write_l1_entry(table_owner_, frame_owner_, entry_at(place), desired, preserve_ad);
            }
            // The table at hand may be given up with what this entry loses.
            l1_mfn_ = kInvalidMfn;
            Budget budget(kTablesPerCall);
            return write_entry(table_owner_, frame_owner_, table, slot_of(place), desired, preserve_ad,
                               budget);
        }
        return write_plain(table, place, desired);
    }

    // Not a page table at the moment: an ordinary word of the guest's own memory.
    Result<> write_plain(Mfn mfn, MachineAddr place, Pte desired) {
        const FrameRef frame = FrameRef::take(mfn, table_owner_.id);
        if (!frame || !get_writable(*frame)) return Errno::kEINVAL;
        {
            const MappedFrame page(mfn);
            write_once(page.as<uint64_t>()[slot_of(place)], desired.raw);
        }
        put_writable(*frame);
        return {};
    }

    Result<> set_m2p(const abi::MmuUpdate& request) {
        const FrameRef frame = FrameRef::take(frame_of(MachineAddr(request.ptr)), frame_owner_.id);
        if (!frame) return Errno::kEINVAL;
        m2p_set(mfn_of(*frame), Pfn(request.val));
        return {};
    }

    void map(Mfn table) {
        if (page_.has_value()) {
            page_->move_to(table);
        } else {
            page_.emplace(table);
        }
    }
    static unsigned slot_of(MachineAddr place) { return static_cast<unsigned>(offset_in_page(place) / 8); }
    [[nodiscard]] uint64_t* entry_at(MachineAddr place) const {
        return page_->as<uint64_t>() + slot_of(place);
    }

    Domain& table_owner_;
    Domain& frame_owner_;
    std::optional<MappedFrame> page_;
    Mfn l1_mfn_ = kInvalidMfn;  // what page_ shows: an L1 table
};

struct Progress {
    uint32_t done = 0;
    Errno error = kNoError;
};

Progress run_batch(Domain& table_owner, Domain& frame_owner, const GuestArray<abi::MmuUpdate>& requests,
                   uint32_t count) {
    const LockGuard guard(table_owner.page_table_lock);
    Progress progress;
    Budget undo_budget(kTablesPerCall);
    if (const Result<> undone = finish_undo(table_owner, undo_budget); !undone.ok()) {
        progress.error = undone.error();
        return progress;
    }
    Batch batch(table_owner, frame_owner);
    abi::MmuUpdate fetched[kRequestsPerFetch];
    while (progress.done < count) {
        const uint32_t in_fetch = progress.done % kRequestsPerFetch;
        if (in_fetch == 0) {
            const uint32_t left = count - progress.done;
            const Result<> read = requests.read_many(progress.done, fetched,
                                                     left < kRequestsPerFetch ? left : kRequestsPerFetch);
            if (!read.ok()) progress.error = read.error();
        }
        if (progress.error == kNoError) {
            const Result<> applied = batch.apply(fetched[in_fetch]);
            progress.error = applied.error();
        }
        if (progress.error != kNoError) break;
        if (++progress.done == kRequestsPerCall && progress.done < count) {
            progress.error = Errno::kERESTART;
            break;
        }
    }
    return progress;
}

}  // namespace

CallResult mmu_update(CallContext& context) {
    uint32_t count = context.arg32<1>();
    const GuestArray<abi::MmuUpdate> requests(context.arg<0>());
    const GuestInOut<uint32_t> done_pointer(context.arg<2>());
    const bool wants_done = context.arg<2>() != 0;
    uint32_t done_before = 0;
    if ((count & kResumed) != 0) {
        count &= ~kResumed;
        if (wants_done) TRY(done_pointer.copy_in(done_before));
    }
    const ForeignPair owners = TRY(find_table_and_frame_owner(context, context.arg32<3>()));
    const Progress progress = run_batch(owners.table_owner(), owners.frame_owner(), requests, count);
    if (wants_done) TRY(done_pointer.copy_out(done_before + progress.done));
    if (progress.error == Errno::kERESTART) {
        context.set_arg<0>(requests.address() + progress.done * sizeof(abi::MmuUpdate));
        context.set_arg<1>((count - progress.done) | kResumed);
    }
    if (progress.error != kNoError) return progress.error;
    return 0;
}

}  // namespace torii::pv
