#pragma once
// Who may do what to a node.
//
// A node has a non-empty list of entries. The first names the owner, who may do everything, and says what
// everybody else may do who has no entry of his own; each further entry is for one domain (xenstore.txt,
// GET_PERMS).

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "xenstore/types.h"

namespace torii::dom0::xenstore {

enum class Access : std::uint8_t { kNone = 0, kRead = 1, kWrite = 2, kReadWrite = 3 };

[[nodiscard]] constexpr bool covers(Access granted, Access wanted) {
    return (static_cast<unsigned>(granted) & static_cast<unsigned>(wanted)) == static_cast<unsigned>(wanted);
}

struct Permission {
    DomId domain;
    Access access = Access::kNone;
    auto operator<=>(const Permission&) const = default;
};

// Invariant of every list in the tree: at least one entry.
using Permissions = std::vector<Permission>;
using PermissionsPtr = std::shared_ptr<const Permissions>;

// On whose behalf a request is done.
struct Principal {
    DomId domain;
    // Set by SET_TARGET: the domain counts as this one, too (device models that serve another domain).
    std::optional<DomId> target;
    // The control domain: passes every check and has no quota.
    bool privileged = false;
};

[[nodiscard]] bool is_owner(const Permissions& permissions, const Principal& principal);
[[nodiscard]] bool is_allowed(const Permissions& permissions, const Principal& principal, Access wanted);

// What a new node below a node with `parent` gets: the same list, but an unprivileged creator owns what he
// creates.
[[nodiscard]] PermissionsPtr inherit_permissions(const PermissionsPtr& parent, const Principal& creator);

// The list without the entries that name `domain`; the control domain takes over what it owned. Returns null
// if nothing changes.
[[nodiscard]] PermissionsPtr without_domain(const Permissions& permissions, DomId domain);

// "b0", "r5", "n0", "w7".
[[nodiscard]] std::optional<Permission> parse_permission(std::string_view text);
[[nodiscard]] std::string format_permission(const Permission& permission);
// Every entry terminated by a zero byte, as GET_PERMS sends them.
[[nodiscard]] std::string format_permissions(const Permissions& permissions);

}  // namespace torii::dom0::xenstore
