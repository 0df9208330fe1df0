// The frame table: who owns each machine frame, what it is used as, and how often.
//
// THE INVARIANT
//   count: the number of references to the frame: one for being allocated to its owner (kAllocated), one per
//   page-table
//          entry that maps it, one per page-table or descriptor-table use, one per pin, one per grant mapping
//          or other mapping that the hypervisor itself holds. A frame is freed when the count falls to zero,
//          never earlier.
//   type:  a frame is used in one way at a time. `type count` is the number of references that need the frame
//   to stay
//          of that type; the type may change only at zero. Each page-table entry with the write bit holds one
//          kWritable type reference; each entry in a table of level n+1 that points at a table of level n
//          holds one kLn reference. So no frame is a page table and writable by a guest at once.
//   validated: the contents of a page table were checked, and its entries hold the references that they stand
//   for. partial(k): type count is zero, and exactly the entries [0, k) hold their references; one general
//   reference keeps
//          the frame from being freed meanwhile. Validation resumes from here, or is undone.
//
// Counts are atomic words. A page-table type is taken for the first time, given up for the last time, and
// changed in content only under the owner's page-table lock; kWritable references come and go without any
// lock.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/flush_clock.h"
#include "base/frame.h"
#include "base/ids.h"
#include "base/rememberers.h"
#include "base/result.h"

namespace torii {

enum class FrameType : uint8_t { kNone, kWritable, kL1, kL2, kL3, kL4, kSegDesc };

constexpr bool is_page_table(FrameType type) {
    return type >= FrameType::kL1 && type <= FrameType::kL4;
}

// Owners that are no domain (numbers of the public xen.h).
inline constexpr DomId kOwnerIo{0x7ff1};    // not RAM: device memory, firmware tables
inline constexpr DomId kOwnerXen{0x7ff2};   // the hypervisor's own
inline constexpr DomId kOwnerNone{0x7ff4};  // free

struct TypeWord {
    static constexpr uint64_t kCountMask = (uint64_t{1} << 32) - 1;
    static constexpr uint64_t kMostCount =
        kCountMask - 0xffff;  // no guest gets beyond; room for references within a call
    static constexpr uint64_t kPinned = uint64_t{1} << 60;
    static constexpr uint64_t kValidated = uint64_t{1} << 59;
    static constexpr uint64_t kPartial = uint64_t{1} << 58;
    static constexpr unsigned kTypeShift = 61;
    // Of a table that was given up, while nothing has come after it: low bits of its flush stamp, so that a
    // word that was read before a flush isn't taken for one of a later life.
    static constexpr unsigned kStampShift = 32;
    static constexpr uint64_t kStampMask = ((uint64_t{1} << 58) - 1) & ~kCountMask;

    uint64_t raw;

    [[nodiscard]] constexpr FrameType type() const { return static_cast<FrameType>(raw >> kTypeShift); }
    [[nodiscard]] constexpr uint64_t count() const { return raw & kCountMask; }
    [[nodiscard]] constexpr bool pinned() const { return (raw & kPinned) != 0; }
    [[nodiscard]] constexpr bool validated() const { return (raw & kValidated) != 0; }
    [[nodiscard]] constexpr bool partial() const { return (raw & kPartial) != 0; }
    static constexpr TypeWord of(FrameType type, uint64_t count, uint64_t flags) {
        return TypeWord{(static_cast<uint64_t>(type) << kTypeShift) | count | flags};
    }
    static constexpr TypeWord given_up(FrameType type, FlushEpoch stamp) {
        return of(type, 0, (uint64_t{stamp} << kStampShift) & kStampMask);
    }
};

// Bit 62 is the memory reservation's (core/memory/reservation.h).
struct CountWord {
    static constexpr uint64_t kAllocated = uint64_t{1} << 63;  // the owner holds its own reference
    // A writable translation through another domain's page table than the owner's went out of use since the
    // frame was last of another type.
    static constexpr uint64_t kForeignWriter = uint64_t{1} << 61;
    // Whose translations CPUs may remember when the frame is freed, and on a free frame: its last owner's,
    // or anyone's since a translation of another domain went out of use.
    static constexpr unsigned kRememberersShift = 44;
    static constexpr uint64_t kRememberers = uint64_t{0xffff} << kRememberersShift;
    static constexpr uint64_t kCountMask = (uint64_t{1} << kRememberersShift) - 1;

    static constexpr uint64_t of(Rememberers whose) { return uint64_t{whose.raw()} << kRememberersShift; }
};

// Links are frame numbers; frame 0 is never in a list (it is firmware's), so zero ends a list.
struct Frame {
    std::atomic<uint64_t> count{0};
    std::atomic<uint64_t> type{0};
    uint32_t next = 0;
    uint32_t previous = 0;
    std::atomic<FlushEpoch> flush_stamp{0};  // when the last dangerous translation may have been used
    uint16_t owner_raw = 0;          // a domain id or one of the owners above; changes only at count zero
    uint16_t validated_entries = 0;  // partial(k): k. On a free frame: the order of the block it heads

    // Who holds no reference may look at any time, and then has to look again with one.
    [[nodiscard]] DomId owner() const { return DomId(__atomic_load_n(&owner_raw, __ATOMIC_RELAXED)); }
    void set_owner(DomId owner) { __atomic_store_n(&owner_raw, owner.raw(), __ATOMIC_RELAXED); }
    [[nodiscard]] FlushEpoch stamp() const { return flush_stamp.load(std::memory_order_relaxed); }
    void set_stamp(FlushEpoch stamp) { flush_stamp.store(stamp, std::memory_order_relaxed); }
    [[nodiscard]] TypeWord type_word() const { return TypeWord{type.load(std::memory_order_relaxed)}; }
    [[nodiscard]] uint64_t references() const {
        return count.load(std::memory_order_relaxed) & CountWord::kCountMask;
    }
    [[nodiscard]] Rememberers rememberers() const {
        const uint64_t field =
            (count.load(std::memory_order_relaxed) & CountWord::kRememberers) >> CountWord::kRememberersShift;
        return Rememberers::from_raw(static_cast<uint16_t>(field));
    }
};
static_assert(sizeof(Frame) == 32);

// The table is one array indexed by frame number; ranges without RAM around them have no entries behind them.
struct FrameTable {
    Frame* base;
    uint64_t end;                  // one past the last frame that has an entry
    const uint64_t* section_bits;  // one bit per 32768 frames (128 MiB): entries exist
};
extern FrameTable frame_table;  // written once at boot

inline constexpr unsigned kSectionShift = 15;

// The table's area has room for 2^32 entries (16 TiB): a CPU that guesses a check of a guest's number wrongly
// reads there, and not in the direct map behind it.
[[nodiscard]] inline uint64_t cut_to_table(Mfn mfn) {
    return static_cast<uint32_t>(mfn.raw());
}

// Whether the frame has an entry. Guest-supplied numbers go through here first.
[[nodiscard]] inline bool frame_exists(Mfn mfn) {
    if (mfn.raw() >= frame_table.end) return false;
    const uint64_t section = cut_to_table(mfn) >> kSectionShift;
    return ((frame_table.section_bits[section / 64] >> (section % 64)) & 1) != 0;
}
[[nodiscard]] inline Frame& frame_at(Mfn mfn) {
    return frame_table.base[cut_to_table(mfn)];
}
[[nodiscard]] inline Mfn mfn_of(const Frame& frame) {
    return Mfn(static_cast<uint64_t>(&frame - frame_table.base));
}

// The next few, on a path where a call counts: frame_references.h.

// Takes a reference if the frame exists, is allocated and belongs to `owner`.
[[nodiscard]] bool get_frame(Mfn mfn, DomId owner);
// Takes another reference; the caller holds one already.
void get_frame_again(Frame& frame);
// Gives a reference back; the last one frees the frame (core/memory/ownership.h).
void put_frame(Frame& frame);
// Called by put_frame at zero: takes the frame out of its owner's list and gives it to the allocator, to be
// scrubbed. Defined in core/domain.
void release_frame(Frame& frame);

// For a translation that goes out of use in a page table of another domain than the frame's owner, before its
// references are given back. Not needed where a flush of that domain's CPUs comes before them.
void note_foreign_translation(Frame& frame, bool writable);
// Before a frame gets its next owner: no CPU remembers it afterwards.
void flush_before_next_owner(const Frame& frame);
// Before a frame becomes a page or descriptor table, after the claim, when no new writable translation can
// come to be: no CPU remembers one afterwards, nor what the frame led to as a table.
void flush_before_next_type(Frame& frame);

// A kWritable type reference; fails while the frame is a page or descriptor table. Flushes stale translations
// before a frame that was a page table becomes writable.
[[nodiscard]] bool get_writable(Frame& frame);
void put_writable(Frame& frame);

// A general reference as an object.
class [[nodiscard]] FrameRef {
public:
    FrameRef() = default;
    explicit FrameRef(Frame* adopted) : frame_(adopted) {}
    FrameRef(FrameRef&& other) noexcept : frame_(other.release()) {}
    FrameRef& operator=(FrameRef&& other) noexcept {
        if (this != &other) {
            reset();
            frame_ = other.release();
        }
        return *this;
    }
    ~FrameRef() { reset(); }

    [[nodiscard]] static FrameRef take(Mfn mfn, DomId owner) {
        return get_frame(mfn, owner) ? FrameRef(&frame_at(mfn)) : FrameRef();
    }
    [[nodiscard]] explicit operator bool() const { return frame_ != nullptr; }
    [[nodiscard]] Frame& operator*() const { return *frame_; }
    [[nodiscard]] Frame* operator->() const { return frame_; }
    // Hands the reference to whoever keeps it from now on (a page-table entry, say).
    Frame* release() {
        Frame* const frame = frame_;
        frame_ = nullptr;
        return frame;
    }
    void reset() {
        if (frame_ != nullptr) put_frame(*frame_);
        frame_ = nullptr;
    }

private:
    Frame* frame_ = nullptr;
};

}  // namespace torii
