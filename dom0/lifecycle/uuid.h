#pragma once
// Domain handles as text: 8-4-4-4-12 hexadecimal digits.

#include <optional>
#include <string>
#include <string_view>

#include "xen/hypervisor.h"

namespace torii::dom0 {

std::string format_uuid(const Uuid& uuid);
std::optional<Uuid> parse_uuid(std::string_view text);
// Random (version 4). Never waits for entropy: a handle must be unique, not secret.
Uuid make_uuid();

}  // namespace torii::dom0
