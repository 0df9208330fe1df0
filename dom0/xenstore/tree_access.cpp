#include "xenstore/tree_access.h"

#include "xenstore/expected_macros.h"
#include "xenstore/path.h"

namespace torii::dom0::xenstore {

Expected<const Node*> TreeAccess::read(std::string_view path) {
    return get(path, Access::kRead, kFacetValue);
}

Expected<const Node*> TreeAccess::list(std::string_view path) {
    return get(path, Access::kRead, kFacetChildren);
}

Expected<const Node*> TreeAccess::read_permissions(std::string_view path) {
    return get(path, Access::kRead, kFacetPermissions);
}

Expected<void> TreeAccess::write(std::string_view path, std::string_view value) {
    const Expected<const Node*> node = get(path, Access::kWrite, kFacetValue);
    if (!node) return node.error() == StoreError::kNotFound ? create(path, value) : node.error();
    TRY(check_size(path, value.size(), (*node)->permissions->size()));
    const PermissionsPtr permissions = (*node)->permissions;
    tree_.set_value(path, value);
    note(path, kFacetChanged | kFacetAnnounced);
    changes_.push_back({std::string(path), true, permissions, permissions, nullptr});
    return {};
}

Expected<void> TreeAccess::make_directory(std::string_view path) {
    const Expected<const Node*> node = get(path, Access::kWrite, kFacetExistence);
    if (node) return {};
    return node.error() == StoreError::kNotFound ? create(path, {}) : node.error();
}

Expected<void> TreeAccess::remove(std::string_view path) {
    if (path == "/") return StoreError::kInvalid;
    const Expected<const Node*> node = get(path, Access::kWrite, kFacetSubtree);
    if (!node) {
        // Removing what isn't there is fine as long as its parent is (xenstore.txt, RM).
        if (node.error() != StoreError::kNotFound) return node.error();
        note(parent_path(path), kFacetExistence);
        if (tree_.find(parent_path(path)) == nullptr) return StoreError::kNotFound;
        return {};
    }
    Change change{std::string(path), true, (*node)->permissions, nullptr, nullptr};
    change.removed = tree_.remove(path);
    note(path, kFacetRemoved | kFacetAnnounced);
    changes_.push_back(std::move(change));
    return {};
}

Expected<void> TreeAccess::set_permissions(std::string_view path, const Permissions& permissions) {
    const Expected<const Node*> node = get(path, Access::kWrite, kFacetPermissions);
    if (!node) return node.error();
    const PermissionsPtr before = (*node)->permissions;
    if (!is_owner(*before, principal_)) return StoreError::kAccessDenied;
    // Giving a node away would charge it to somebody else's quota.
    if (!principal_.privileged && permissions.front().domain != before->front().domain) {
        return StoreError::kNotPermitted;
    }
    TRY(check_size(path, (*node)->value.size(), permissions.size()));
    auto after = std::make_shared<const Permissions>(permissions);
    tree_.set_permissions(path, after);
    note(path, kFacetChanged | kFacetAnnounced);
    changes_.push_back({std::string(path), true, before, std::move(after), nullptr});
    return {};
}

Expected<const Node*> TreeAccess::get(std::string_view path, Access wanted, unsigned facets) {
    refusing_quota_ = {};
    note(path, facets | kFacetPermissions);
    if (const Node* const node = tree_.find(path)) {
        if (!is_allowed(*node->permissions, principal_, wanted)) return StoreError::kAccessDenied;
        return node;
    }
    // Whether a node exists is told only to those who could have listed it.
    const std::string_view parent = tree_.nearest_existing(path);
    note(parent, kFacetPermissions);
    const bool visible = is_allowed(*tree_.find(parent)->permissions, principal_, wanted);
    return visible ? StoreError::kNotFound : StoreError::kAccessDenied;
}

Expected<void> TreeAccess::create(std::string_view path, std::string_view value) {
    // get() has seen to it that the principal may write the nearest existing parent.
    const std::string_view base = tree_.nearest_existing(path);
    PermissionsPtr permissions = inherit_permissions(tree_.find(base)->permissions, principal_);
    TRY(check_size(path, value.size(), permissions->size()));

    std::size_t missing = 0;
    for (PathComponents rest(path.substr(base.size())); !rest.at_end(); rest.next())
        ++missing;
    if (!principal_.privileged && tree_.owned_by(principal_.domain) + missing > quota_.nodes_per_domain) {
        return refuse("nodes per domain", StoreError::kNoSpace);
    }

    for (std::size_t end = base == "/" ? 0 : base.size(); end != path.size();) {
        end = std::min(path.find('/', end + 1), path.size());
        const bool is_leaf = end == path.size();
        const std::string_view created = path.substr(0, end);
        note(created, is_leaf ? kFacetChanged | kFacetAnnounced : kFacetChanged);
        tree_.create(created, is_leaf ? value : std::string_view{}, permissions);
        changes_.push_back({std::string(created), is_leaf, nullptr, permissions, nullptr});
    }
    return {};
}

Expected<void> TreeAccess::check_size(std::string_view path, std::size_t value_size,
                                      std::size_t permissions) {
    if (principal_.privileged) return {};
    if (path.size() > quota_.path_length) return refuse("path length", StoreError::kInvalid);
    if (permissions > quota_.permissions_per_node)
        return refuse("permissions per node", StoreError::kNoSpace);
    if (value_size + permissions * sizeof(Permission) > quota_.node_size) {
        return refuse("node size", StoreError::kNoSpace);
    }
    return {};
}

StoreError TreeAccess::refuse(std::string_view quota_name, StoreError error) {
    refusing_quota_ = quota_name;
    return error;
}

void TreeAccess::note(std::string_view path, unsigned facets) {
    if (facets_ == nullptr) return;
    const auto mask = static_cast<std::uint8_t>(facets);
    const auto known = facets_->find(path);
    if (known == facets_->end()) {
        facets_->emplace(path, mask);
    } else {
        known->second |= mask;
    }
}

}  // namespace torii::dom0::xenstore
