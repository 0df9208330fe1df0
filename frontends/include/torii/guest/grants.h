#pragma once
// Our own grant table, version 1, and what we map of others'.

#include <torii/abi/grant_table.h>
#include <torii/guest/memory.h>

#include <cstdint>

namespace torii::guest {

// Maps the first frame of the grant table; 512 entries. Idempotent. False when the hypervisor refuses.
bool set_up_grants();

abi::GrantEntryV1& grant_entry(abi::RawGrantRef ref);

// Grants a frame of ours; the entry must be free. Ends with false while the other side still uses it.
void grant_access(abi::RawGrantRef ref, abi::RawDomId to, uint64_t mfn, bool read_only);
bool end_access(abi::RawGrantRef ref);

// An unused reference beyond the reserved ones. Running out of the table's frame ends the domain with a
// report.
abi::RawGrantRef allocate_grant_ref();
// Gives one back, whose access has ended: it may be handed out again.
void free_grant_ref(abi::RawGrantRef ref);

// Maps a grant of `domain` at a page of ours, whose own frame is lost to us until put back by map_writable().
// The results are in the structure.
abi::GrantMap map_grant(abi::RawDomId domain, abi::RawGrantRef ref, const void* at, uint32_t flags);
abi::GrantStatus unmap_grant(const abi::GrantMap& map);

}  // namespace torii::guest
