// Finding the domain that a call is about.
#pragma once

#include <torii/abi/domid.h>

#include "core/domain/domain.h"

namespace torii {

// The domain with its reference count raised, for a DomainRef to adopt; DOMID_SELF is the caller. ESRCH when
// there is none.
[[nodiscard]] inline Result<Domain*> find_target(const Domain& caller, abi::RawDomId id) {
    Domain* const domain = find_domain(id == abi::kDomIdSelf ? caller.id : DomId(id));
    if (domain == nullptr) return Errno::kESRCH;
    return domain;
}

}  // namespace torii
