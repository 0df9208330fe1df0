#include "xenstore/transaction.h"

namespace torii::dom0::xenstore {
namespace {

bool differs(const Node* before, const Node* now, unsigned facets) {
    if ((before == nullptr) != (now == nullptr)) return true;
    if (before == now) return false;
    // Both trees count generations from the same number, and `base` is never changed: equal numbers, equal
    // parts.
    return ((facets & kFacetSubtree) != 0) ||
           ((facets & kFacetValue) != 0 && before->value_generation != now->value_generation) ||
           ((facets & kFacetPermissions) != 0 &&
            before->permissions_generation != now->permissions_generation) ||
           ((facets & kFacetChildren) != 0 && before->children_generation != now->children_generation);
}

}  // namespace

bool Transaction::conflicts_with(const Tree& store) const {
    if (&store.root() == &base_.root()) return false;
    for (const auto& [path, facets] : facets_) {
        if (differs(base_.find(path), store.find(path), facets)) return true;
    }
    return false;
}

Expected<std::vector<Change>> Transaction::merge_into(Tree& store, const Principal& principal,
                                                      const Quota& quota) const {
    if (lost_ || conflicts_with(store)) return StoreError::kTryAgain;
    // The quota held for the copy, but others may have created nodes of this owner since.
    const std::size_t had = base_.owned_by(principal.domain);
    const std::size_t has = view_.owned_by(principal.domain);
    if (!principal.privileged && has > had &&
        store.owned_by(principal.domain) + (has - had) > quota.nodes_per_domain) {
        return StoreError::kNoSpace;
    }
    std::vector<Change> changes;
    // Sorted by path, so parents come before their children.
    for (const auto& [path, facets] : facets_)
        merge_path(path, facets, store, changes);
    return changes;
}

void Transaction::merge_path(const std::string& path, unsigned facets, Tree& store,
                             std::vector<Change>& changes) const {
    const bool announce = (facets & kFacetAnnounced) != 0;
    if ((facets & kFacetRemoved) != 0) {
        if (const Node* const old = store.find(path)) {
            Change change{path, announce, old->permissions, nullptr, nullptr};
            change.removed = store.remove(path);
            changes.push_back(std::move(change));
        }
    }
    const Node* const wanted = view_.find(path);
    if ((facets & kFacetChanged) == 0 || wanted == nullptr) return;

    const Node* const present = store.find(path);
    if (present == nullptr) {
        store.create(path, wanted->value, wanted->permissions);
        changes.push_back({path, announce, nullptr, wanted->permissions, nullptr});
        return;
    }
    const Node* const before = base_.find(path);
    const PermissionsPtr old_permissions = present->permissions;
    // Only what the transaction itself changed is written: the other part may have been changed by others
    // since.
    if (before == nullptr || wanted->value_generation != before->value_generation) {
        store.set_value(path, wanted->value);
    }
    if (before == nullptr || wanted->permissions_generation != before->permissions_generation) {
        store.set_permissions(path, wanted->permissions);
    }
    changes.push_back({path, announce, old_permissions, wanted->permissions, nullptr});
}

}  // namespace torii::dom0::xenstore
