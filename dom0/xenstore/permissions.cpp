#include "xenstore/permissions.h"

#include <algorithm>
#include <charconv>

namespace torii::dom0::xenstore {
namespace {

bool speaks_for(const Principal& principal, DomId domain) {
    return principal.domain == domain || principal.target == domain;
}

constexpr char letter_of(Access access) {
    switch (access) {
        case Access::kNone:
            return 'n';
        case Access::kRead:
            return 'r';
        case Access::kWrite:
            return 'w';
        case Access::kReadWrite:
            return 'b';
    }
    return 'n';
}

std::optional<Access> access_of(char letter) {
    switch (letter) {
        case 'n':
            return Access::kNone;
        case 'r':
            return Access::kRead;
        case 'w':
            return Access::kWrite;
        case 'b':
            return Access::kReadWrite;
        default:
            return std::nullopt;
    }
}

}  // namespace

bool is_owner(const Permissions& permissions, const Principal& principal) {
    return principal.privileged || speaks_for(principal, permissions.front().domain);
}

bool is_allowed(const Permissions& permissions, const Principal& principal, Access wanted) {
    if (is_owner(permissions, principal)) return true;
    const auto entry =
        std::find_if(permissions.begin() + 1, permissions.end(),
                     [&](const Permission& candidate) { return speaks_for(principal, candidate.domain); });
    return covers(entry == permissions.end() ? permissions.front().access : entry->access, wanted);
}

PermissionsPtr inherit_permissions(const PermissionsPtr& parent, const Principal& creator) {
    // Without the change of owner a domain could not limit access to what it creates below a node that it may
    // merely write, and the node would count against somebody else's quota.
    if (creator.privileged || parent->front().domain == creator.domain) return parent;
    auto own = std::make_shared<Permissions>(*parent);
    own->front().domain = creator.domain;
    return own;
}

PermissionsPtr without_domain(const Permissions& permissions, DomId domain) {
    const auto names_domain = [&](const Permission& entry) { return entry.domain == domain; };
    if (std::none_of(permissions.begin(), permissions.end(), names_domain)) return nullptr;
    auto remaining = std::make_shared<Permissions>();
    Permission owner = permissions.front();
    if (owner.domain == domain) owner.domain = kDom0;
    remaining->push_back(owner);
    std::copy_if(permissions.begin() + 1, permissions.end(), std::back_inserter(*remaining),
                 [&](const Permission& entry) { return entry.domain != domain; });
    return remaining;
}

std::optional<Permission> parse_permission(std::string_view text) {
    if (text.size() < 2) return std::nullopt;
    const auto access = access_of(text.front());
    std::uint16_t domain = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + 1, end, domain);
    if (!access || error != std::errc{} || stop != end) return std::nullopt;
    return Permission{DomId(domain), *access};
}

std::string format_permission(const Permission& permission) {
    return letter_of(permission.access) + std::to_string(permission.domain.raw());
}

std::string format_permissions(const Permissions& permissions) {
    std::string text;
    for (const Permission& entry : permissions) {
        text += format_permission(entry);
        text += '\0';
    }
    return text;
}

}  // namespace torii::dom0::xenstore
