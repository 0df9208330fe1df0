#pragma once
// What one principal may do with one tree: permissions, quotas, implied parents. Used alike on the store's
// tree and on a transaction's copy of it.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "xenstore/permissions.h"
#include "xenstore/quota.h"
#include "xenstore/tree.h"
#include "xenstore/types.h"

namespace torii::dom0::xenstore {

// Which part of a node an operation depended on, and what it did to it. That the node exists, or doesn't,
// always counts.
enum Facet : std::uint8_t {
    kFacetExistence = 0,
    kFacetValue = 1,
    kFacetPermissions = 2,
    kFacetChildren = 4,
    kFacetSubtree = 8,     // the node, and all below it
    kFacetChanged = 16,    // created, or given a value or permissions
    kFacetRemoved = 32,    // removed at some time; may have been created again
    kFacetAnnounced = 64,  // changed by itself, not as a missing parent of something else
};

// By path, a mask of Facet: what a transaction has used so far.
using FacetLog = std::map<std::string, std::uint8_t, std::less<>>;

// One thing that changed, for the journal and for watches. Paths may repeat; the order is that of the
// changes.
struct Change {
    std::string path;
    // False for parents that came into being on the way: the event for the node below them covers them.
    bool announce = true;
    // The node's permissions before and after; null where it didn't or doesn't exist.
    PermissionsPtr before;
    PermissionsPtr after;
    // What was removed, if the node was.
    NodePtr removed;
};

class TreeAccess {
public:
    // Everything is kept by reference and must outlive this object. `facets` may be null.
    TreeAccess(Tree& tree, const Principal& principal, const Quota& quota, FacetLog* facets)
        : tree_(tree), principal_(principal), quota_(quota), facets_(facets) {}

    // All paths must be valid and absolute. The node is good until the next change.
    Expected<const Node*> read(std::string_view path);
    Expected<const Node*> list(std::string_view path);
    Expected<const Node*> read_permissions(std::string_view path);

    Expected<void> write(std::string_view path, std::string_view value);
    Expected<void> make_directory(std::string_view path);
    Expected<void> remove(std::string_view path);
    Expected<void> set_permissions(std::string_view path, const Permissions& permissions);

    [[nodiscard]] std::vector<Change>& changes() { return changes_; }
    // Which quota refused the last operation that failed; empty if none did.
    [[nodiscard]] std::string_view refusing_quota() const { return refusing_quota_; }

private:
    // The node, if the principal has `wanted` on it. If it doesn't exist: kNotFound, or kAccessDenied where
    // the principal couldn't even see the nearest parent.
    Expected<const Node*> get(std::string_view path, Access wanted, unsigned facets);
    Expected<void> create(std::string_view path, std::string_view value);
    Expected<void> check_size(std::string_view path, std::size_t value_size, std::size_t permissions);
    StoreError refuse(std::string_view quota_name, StoreError error);
    void note(std::string_view path, unsigned facets);

    Tree& tree_;
    const Principal& principal_;
    const Quota& quota_;
    FacetLog* facets_;
    std::vector<Change> changes_;
    std::string_view refusing_quota_;
};

}  // namespace torii::dom0::xenstore
