// Whose tables and whose frames an MMU call is about.
#pragma once

#include "core/call/context.h"

namespace torii::pv {

// Two domains, each either the caller or one that a reference is held on.
class [[nodiscard]] ForeignPair {
public:
    ForeignPair() = default;
    ForeignPair(Domain* table_owner, Domain* frame_owner, bool table_held, bool frame_held)
        : table_(table_owner), frame_(frame_owner), table_held_(table_held), frame_held_(frame_held) {}
    ForeignPair(ForeignPair&& other) noexcept
        : table_(other.table_),
          frame_(other.frame_),
          table_held_(other.table_held_),
          frame_held_(other.frame_held_) {
        other.table_held_ = other.frame_held_ = false;
    }
    ~ForeignPair() {
        if (table_held_) put_domain(*table_);
        if (frame_held_) put_domain(*frame_);
    }
    [[nodiscard]] Domain& table_owner() const { return *table_; }
    [[nodiscard]] Domain& frame_owner() const { return *frame_; }

private:
    Domain* table_ = nullptr;
    Domain* frame_ = nullptr;
    bool table_held_ = false;
    bool frame_held_ = false;
};

// Decodes the domain argument of mmu_update and its kin: low half the owner of the frames, high half, when
// not zero, one more than the owner of the tables. ESRCH: no such domain; EPERM: not the caller's to touch.
[[nodiscard]] Result<ForeignPair> find_table_and_frame_owner(CallContext& context, uint32_t domains);
// For calls that name one domain only.
[[nodiscard]] inline Result<ForeignPair> find_frame_owner(CallContext& context, uint32_t domid) {
    return find_table_and_frame_owner(context, domid & 0xffff);
}

}  // namespace torii::pv
