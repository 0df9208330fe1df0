// A recount from scratch: what every frame of these domains is used for, as far as page tables, vCPUs,
// handles and pins show it, held against the frame table. Shares no code with the page types: it knows the
// architecture's entry format and nothing else.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/domain/domain.h"

namespace torii::test {

// What is wrong, a sentence each; empty when all agrees. `domains` are all that there are, the dying ones
// too. Checked are:
//   - the general count, type, type count and validity of each frame that the domains own;
//   - that no table and no descriptor page is writable through any entry;
//   - that no entry reaches a frame without ownership, a recorded grant, or its holder's privilege;
//   - the hypervisor's slots of each validated L4;
//   - that the undo list holds each of its tables once;
//   - that no CPU remembers a translation that would break one of these rules.
[[nodiscard]] std::vector<std::string> recount(std::span<Domain* const> domains);

}  // namespace torii::test
