// The frames that a domain owns: how it comes by them and how they go.
//
// THE LIST. Each frame of a domain is in its list, linked through the frame table, from the moment it is
// assigned until its last reference is dropped. Under the domain's page_list_lock. Frames that the domain
// still holds (kAllocated) stand in front of the others: those it gave up that somebody still maps, and those
// that the hypervisor shares with it. So the end of a domain can take frames from the front until the first
// that isn't held, with nothing to remember when it is preempted.
//
// `frame_count` counts all but the shared ones: a frame that was given up counts against the limit until
// nobody maps it.
#pragma once

#include "base/frame.h"
#include "base/ids.h"
#include "base/once.h"
#include "base/result.h"
#include "core/domain/domain.h"
#include "core/memory/allocator.h"
#include "core/memory/frame_table.h"

namespace torii {

// In Frame::count: the frame is the hypervisor's, which shares it with the domain. It can't be given up,
// stolen or exchanged.
inline constexpr uint64_t kSharedByHypervisor = uint64_t{1} << 62;

// The domain's limit as guests and tools read it: one without a limit has what 32 bits hold, as with Xen.
[[nodiscard]] inline uint64_t frame_limit_of(const Domain& domain) {
    constexpr uint64_t kUnlimited = 0xffffffff;
    const uint64_t limit = read_once(domain.frame_limit);
    return limit < kUnlimited ? limit : kUnlimited;
}

// A block of 2^order frames for the domain: each has its owner's reference and no type. Nobody can see data
// that was there before, and no CPU holds a translation from before. ENOMEM when the domain's limit or the
// machine's memory is reached; ESRCH when the domain is dying.
[[nodiscard]] Result<Mfn> allocate_domain_frames(Domain& domain, unsigned order, AllocationWish wish = {});

// The domain gives the frame up: its own reference goes, and with it the frame once nobody uses it any more.
// EINVAL when the frame isn't the domain's to give.
[[nodiscard]] Result<> give_up_frame(Domain& domain, Mfn mfn);

// --- frames of the hypervisor that a domain may map: shared info, grant table ---
// A zeroed, directly mapped frame that the domain may map but not give up. The hypervisor's own reference
// keeps it.
[[nodiscard]] Result<Mfn> allocate_shared_frame(Domain& domain);
// The hypervisor needs it no longer; it is freed when the domain's last mapping is gone. Frame 0: none,
// nothing happens.
void stop_sharing_frame(Mfn mfn);

// --- the end of a domain, whose life is kDying ---
// Others that use its frames may free them at any time: a frame is looked at again, under the lock of what is
// asked about it.
// The first frame that the domain still holds; null: none.
[[nodiscard]] Frame* first_held_frame(Domain& domain);
// The first one of the list, which becomes the last: so each comes up once in as many calls as there are
// frames.
[[nodiscard]] Frame* next_frame_in_turn(Domain& domain);
// Drops the owner's reference of up to `most` frames; returns how many. Zero: the domain holds none any more.
uint64_t give_up_some_frames(Domain& domain, uint64_t most);
// The domain holds nothing any more: it is dead, and its first reference (the one it was created with) goes
// now or, when others still map its frames, with the last of those. Call once.
void finish_domain_frames(Domain& domain);

// --- moving frames between owners ---
// Takes a frame that only its owner refers to out of its hands: no references, in no list, owner unchanged.
// The caller assigns it or frees it. EINVAL when it isn't the domain's, EBUSY when somebody else still refers
// to it.
[[nodiscard]] Result<> steal_frame(Domain& domain, Mfn mfn);
// Makes a frame without references and outside of any list the domain's. `limit_applies`: ENOMEM at the
// limit. ESRCH when it is dying.
[[nodiscard]] Result<> assign_frame(Domain& domain, Mfn mfn, bool limit_applies);
// Gives a stolen frame to the allocator; what is in it is scrubbed before anyone sees it.
void free_stolen_frame(Mfn mfn);

}  // namespace torii
