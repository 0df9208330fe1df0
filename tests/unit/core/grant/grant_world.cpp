#include "unit/core/grant/grant_world.h"

#include <gtest/gtest.h>

#include "core/memory/allocator.h"

namespace torii {

// Stands in for core/memory/reservation.cpp, which knows the owner's list of frames.
void release_frame(Frame& frame) {
    free_frames(mfn_of(frame), 0, true);
}

namespace test {

GrantDomain::GrantDomain(uint16_t id, uint32_t frame_limit, uint32_t maptrack_limit, uint32_t frames)
    : id_(id) {
    (void)fakes::machine();
    EXPECT_TRUE(table.create(id_, frame_limit, maptrack_limit).ok());
    for (uint32_t i = 0; i < frames; ++i)
        frames_.push_back(allocate(false));
    EXPECT_TRUE(table.add_frame(allocate(true)).ok());
}

GrantDomain::~GrantDomain() {
    close();
    for (uint32_t i = 0; i < frames_.size(); ++i) {
        if ((frame(i).count.load() & CountWord::kAllocated) == 0 || frame(i).owner() != id_) continue;
        EXPECT_EQ(references(frame(i)), 1u) << "of frame " << i;
        EXPECT_EQ(frame(i).type_word().count(), 0u) << "of frame " << i;
        give_up(i);
    }
}

Mfn GrantDomain::allocate(bool for_table) {
    Result<Mfn> mfn = allocate_frames(0, {.directly_mapped = for_table});
    EXPECT_TRUE(mfn.ok());
    Frame& frame = frame_at(mfn.value());
    frame.set_owner(id_);
    frame.type.store(0);
    frame.count.store(CountWord::kAllocated | 1);
    return mfn.value();
}

SharedGrantEntry& GrantDomain::entry(GrantRef ref) const {
    const Mfn page = table.frame(ref.raw() / kGrantEntriesPerFrame);
    return fakes::machine().guest_view<SharedGrantEntry>(page)[ref.raw() % kGrantEntriesPerFrame];
}

void GrantDomain::grant(GrantRef ref, DomId to, Mfn frame, uint16_t flags) const {
    SharedGrantEntry& place = entry(ref);
    __atomic_store_n(&place.frame, static_cast<uint32_t>(frame.raw()), __ATOMIC_RELAXED);
    __atomic_store_n(&place.flags_and_domid, uint32_t{to.raw()} << 16 | flags, __ATOMIC_RELEASE);
}

uint16_t GrantDomain::flags(GrantRef ref) const {
    return static_cast<uint16_t>(__atomic_load_n(&entry(ref).flags_and_domid, __ATOMIC_ACQUIRE));
}

void GrantDomain::close() {
    if (closed_) return;
    closed_ = true;
    for (Mfn page = table.close_one_frame(); page != kInvalidMfn; page = table.close_one_frame()) {
        frame_at(page).count.fetch_and(~CountWord::kAllocated);
        put_frame(frame_at(page));
    }
}

void GrantDomain::give_up(uint32_t index) {
    frame(index).count.fetch_and(~CountWord::kAllocated);
    put_frame(frame(index));
}

}  // namespace test
}  // namespace torii
