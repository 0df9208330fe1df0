// The pages of a domain's grant table. Its end: core/grant/release.h.
#pragma once

#include <span>

#include "core/domain/domain.h"

namespace torii {

// Makes the domain's grant table at least `frames` pages long. EINVAL: beyond the domain's limit; ENOMEM;
// ESRCH: the domain is dying. The pages that came before an error stay.
[[nodiscard]] Result<> grow_grant_table(Domain& domain, uint32_t frames);

// Pages [first, first + out.size()) of the table, which grows to have them (XENMEM_acquire_resource,
// setup_table). The domain may map them for as long as it lives; who else maps them needs a right to its
// frames. Errors as above.
[[nodiscard]] Result<> get_grant_frames(Domain& domain, uint64_t first, std::span<Mfn> out);

}  // namespace torii
