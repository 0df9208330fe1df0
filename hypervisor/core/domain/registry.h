// For domain.cpp alone: entering and leaving the registry.
#pragma once

#include "core/domain/domain.h"

namespace torii {

[[nodiscard]] Result<> register_domain(Domain& domain);
void unregister_domain(Domain& domain);
// The last reference went: the object and its id are given back.
void free_domain(Domain& domain);

}  // namespace torii
