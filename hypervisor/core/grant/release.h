// The end of a domain's grants. Defined in core/domain/grants.cpp, where the other domains are known.
#pragma once

#include "base/result.h"

namespace torii {

struct Domain;
class Budget;

// Gives back what the domain has mapped of others, and closes its own table. For a dying domain whose vCPUs
// have all stopped; best after its page tables are gone, so that a granter who sees its grant free can use
// the frame for anything. ERESTART: the budget is spent, call again.
[[nodiscard]] Result<> release_all_grants(Domain& domain, Budget& budget);

}  // namespace torii
