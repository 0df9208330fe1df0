#pragma once
// The nodes and their values, without any question of who may do what (tree_access.h asks those).
//
// A Tree is a value: copying one takes a snapshot in constant time, because copies share their nodes. Nodes
// are counted; one that only this tree refers to is changed in place, one that a snapshot shares is first
// copied along the path from the root. So a store without open transactions never copies, and each
// transaction costs at most one copy of every directory that is changed while it is open.

#include <algorithm>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "xenstore/permissions.h"
#include "xenstore/types.h"

namespace torii::dom0::xenstore {

struct Node;
// Not counted atomically: the store belongs to one thread.
using NodePtr = boost::intrusive_ptr<Node>;

struct Node : boost::intrusive_ref_counter<Node, boost::thread_unsafe_counter> {
    std::string name;  // the last component; empty for the root
    std::string value;
    PermissionsPtr permissions;
    std::vector<NodePtr> children;  // sorted by name

    // The tree's generation when each part was last changed. They tell a transaction what changed under it,
    // and the newest of them is the count that DIRECTORY_PART sends.
    std::uint64_t value_generation = 0;
    std::uint64_t permissions_generation = 0;
    std::uint64_t children_generation = 0;

    [[nodiscard]] std::uint64_t generation() const {
        return std::max({value_generation, permissions_generation, children_generation});
    }
    [[nodiscard]] const Node* child(std::string_view child_name) const;
};

class Tree {
public:
    // One node, "/", owned by the control domain and closed to all others.
    Tree();

    [[nodiscard]] const Node& root() const { return *root_; }
    // Null if there is no such node. `path` must be valid (path.h). Pointers last until the next change.
    [[nodiscard]] const Node* find(std::string_view path) const;
    // The path of the deepest existing node at or above `path`.
    [[nodiscard]] std::string_view nearest_existing(std::string_view path) const;

    [[nodiscard]] std::size_t node_count() const { return node_count_; }
    [[nodiscard]] std::size_t owned_by(DomId domain) const;
    [[nodiscard]] std::uint64_t generation() const { return generation_; }

    // Preconditions of the changes: create: the parent exists, the node doesn't; the others: the node exists;
    // remove: it isn't the root.
    void create(std::string_view path, std::string_view value, PermissionsPtr permissions);
    void set_value(std::string_view path, std::string_view value);
    void set_permissions(std::string_view path, PermissionsPtr permissions);
    // Gives what was removed.
    NodePtr remove(std::string_view path);

    // Rebuilding from the journal: creates or overwrites a node whose parent exists, as of `generation`.
    void restore(std::string_view path, std::string_view value, PermissionsPtr permissions,
                 std::uint64_t generation);
    // Makes sure that no number up to `generation` is given out again.
    void advance_generation(std::uint64_t generation) { generation_ = std::max(generation_, generation); }

private:
    struct OwnerCount {
        DomId owner;
        std::uint32_t nodes;
    };

    // The node at `path`, copied where a snapshot shares it, so that it may be changed.
    Node& writable(std::string_view path);
    Node& add_child(std::string_view path, PermissionsPtr permissions, std::uint64_t generation);
    void count_owner(DomId owner, std::int64_t change);
    void uncount_subtree(const Node& node);

    NodePtr root_;
    std::vector<OwnerCount> owner_counts_;  // sorted by owner; no entry with zero nodes
    std::size_t node_count_ = 0;
    std::uint64_t generation_ = 0;
};

// Calls visit(path, node) for `node` and everything below it, parents first.
template <typename Visit>
void for_each_node(const Node& node, const std::string& path, const Visit& visit) {
    visit(path, node);
    for (const NodePtr& child : node.children) {
        for_each_node(*child, (path == "/" ? path : path + '/') + child->name, visit);
    }
}

}  // namespace torii::dom0::xenstore
