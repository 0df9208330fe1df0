#include "xenstore/tree.h"

#include "xenstore/path.h"

namespace torii::dom0::xenstore {
namespace {

std::size_t child_position(const Node& node, std::string_view name) {
    const auto place =
        std::lower_bound(node.children.begin(), node.children.end(), name,
                         [](const NodePtr& child, std::string_view key) { return child->name < key; });
    return static_cast<std::size_t>(place - node.children.begin());
}

bool is_child_at(const Node& node, std::size_t position, std::string_view name) {
    return position < node.children.size() && node.children[position]->name == name;
}

void unshare(NodePtr& slot) {
    if (slot->use_count() > 1) slot = NodePtr(new Node(*slot));
}

}  // namespace

const Node* Node::child(std::string_view child_name) const {
    const std::size_t position = child_position(*this, child_name);
    return is_child_at(*this, position, child_name) ? children[position].get() : nullptr;
}

Tree::Tree() : root_(new Node) {
    root_->permissions = std::make_shared<Permissions>(Permissions{{kDom0, Access::kNone}});
    count_owner(kDom0, 1);
}

const Node* Tree::find(std::string_view path) const {
    const Node* node = root_.get();
    for (PathComponents components(path); node != nullptr && !components.at_end();) {
        node = node->child(components.next());
    }
    return node;
}

std::string_view Tree::nearest_existing(std::string_view path) const {
    const Node* node = root_.get();
    std::string_view found = path.substr(0, 1);
    for (PathComponents components(path); !components.at_end();) {
        const std::string_view component = components.next();
        node = node->child(component);
        if (node == nullptr) break;
        // The component is a part of `path` itself, so its end marks how far the path exists.
        found = path.substr(0, static_cast<std::size_t>(component.data() + component.size() - path.data()));
    }
    return found;
}

std::size_t Tree::owned_by(DomId domain) const {
    const auto entry = std::lower_bound(owner_counts_.begin(), owner_counts_.end(), domain,
                                        [](const OwnerCount& count, DomId key) { return count.owner < key; });
    return entry != owner_counts_.end() && entry->owner == domain ? entry->nodes : 0;
}

void Tree::create(std::string_view path, std::string_view value, PermissionsPtr permissions) {
    add_child(path, std::move(permissions), ++generation_).value = value;
}

void Tree::set_value(std::string_view path, std::string_view value) {
    Node& node = writable(path);
    node.value = value;
    node.value_generation = ++generation_;
}

void Tree::set_permissions(std::string_view path, PermissionsPtr permissions) {
    Node& node = writable(path);
    count_owner(node.permissions->front().domain, -1);
    count_owner(permissions->front().domain, 1);
    node.permissions = std::move(permissions);
    node.permissions_generation = ++generation_;
}

NodePtr Tree::remove(std::string_view path) {
    Node& parent = writable(parent_path(path));
    const auto place =
        parent.children.begin() + static_cast<std::ptrdiff_t>(child_position(parent, leaf_name(path)));
    NodePtr removed = std::move(*place);
    parent.children.erase(place);
    parent.children_generation = ++generation_;
    uncount_subtree(*removed);
    return removed;
}

void Tree::restore(std::string_view path, std::string_view value, PermissionsPtr permissions,
                   std::uint64_t generation) {
    advance_generation(generation);
    if (find(path) == nullptr) {
        add_child(path, std::move(permissions), generation).value = value;
        return;
    }
    Node& node = writable(path);
    count_owner(node.permissions->front().domain, -1);
    count_owner(permissions->front().domain, 1);
    node.value = value;
    node.permissions = std::move(permissions);
    node.value_generation = node.permissions_generation = generation;
}

Node& Tree::writable(std::string_view path) {
    NodePtr* slot = &root_;
    unshare(*slot);
    for (PathComponents components(path); !components.at_end();) {
        Node& parent = **slot;
        slot = &parent.children[child_position(parent, components.next())];
        unshare(*slot);
    }
    return **slot;
}

Node& Tree::add_child(std::string_view path, PermissionsPtr permissions, std::uint64_t generation) {
    Node& parent = writable(parent_path(path));
    const std::string_view name = leaf_name(path);
    NodePtr child(new Node);
    child->name = name;
    count_owner(permissions->front().domain, 1);
    child->permissions = std::move(permissions);
    child->value_generation = child->permissions_generation = child->children_generation = generation;
    parent.children_generation = generation;
    const auto place = parent.children.begin() + static_cast<std::ptrdiff_t>(child_position(parent, name));
    return **parent.children.insert(place, std::move(child));
}

void Tree::count_owner(DomId owner, std::int64_t change) {
    node_count_ = static_cast<std::size_t>(static_cast<std::int64_t>(node_count_) + change);
    auto entry = std::lower_bound(owner_counts_.begin(), owner_counts_.end(), owner,
                                  [](const OwnerCount& count, DomId key) { return count.owner < key; });
    if (entry == owner_counts_.end() || entry->owner != owner) {
        entry = owner_counts_.insert(entry, OwnerCount{owner, 0});
    }
    entry->nodes = static_cast<std::uint32_t>(static_cast<std::int64_t>(entry->nodes) + change);
    if (entry->nodes == 0) owner_counts_.erase(entry);
}

void Tree::uncount_subtree(const Node& node) {
    count_owner(node.permissions->front().domain, -1);
    for (const NodePtr& child : node.children)
        uncount_subtree(*child);
}

}  // namespace torii::dom0::xenstore
