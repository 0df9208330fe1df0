// The store's state as a whole: written out, taken back, and checked.

#include <utility>

#include "xenstore/path.h"
#include "xenstore/store.h"

namespace torii::dom0::xenstore {

void Store::describe(StateSink& sink) const {
    for_each_node(tree_.root(), "/", [&](const std::string& path, const Node& node) {
        sink.node(path, node.generation(), *node.permissions, node.value);
    });
    for (const auto& [name, permissions] : special_permissions_)
        sink.special_permissions(name, *permissions);
}

void Store::describe_connection(const Connection& connection, StateSink& sink) const {
    const DomId domain = connection.principal.domain;
    if (connection.principal.target) sink.domain_target(domain, *connection.principal.target);
    watches_.for_each_of(connection.id, [&](const Watch& watch) {
        sink.watch_added(domain, watch.path, watch.token, watch.hidden_prefix != 0);
    });
    for (const auto& [id, transaction] : connection.transactions)
        sink.transaction_opened(domain, id);
    connection.output.for_each([&](std::string_view bytes) { sink.output_queued(domain, bytes); });
}

void Store::restore_special(std::string_view name, const Permissions& permissions) {
    const auto special = special_permissions_.find(name);
    if (special != special_permissions_.end()) {
        special->second = std::make_shared<const Permissions>(permissions);
    }
}

void Store::restore_watch(Connection& connection, std::string_view path, std::string_view token,
                          bool relative) {
    const std::size_t hidden = relative ? domain_path(connection.principal.domain).size() + 1 : 0;
    // One that is there already can only come from a damaged journal, and changes nothing.
    (void)watches_.add(
        Watch{connection.id, std::string(path), std::string(token), std::min(hidden, path.size())});
}

void Store::restore_unwatch(Connection& connection, std::string_view path, std::string_view token) {
    (void)watches_.remove(connection.id, path, token);
}

void Store::restore_transaction(Connection& connection, std::uint32_t id) {
    connection.transactions.emplace(id, Transaction::lost(Tree()));
    connection.last_transaction = std::max(connection.last_transaction, id);
}

void Store::restore_reset(Connection& connection) {
    watches_.remove_all(connection.id);
    connection.transactions.clear();
}

void Store::finish_restore() {
    for (auto& [connection_id, connection] : connections_) {
        for (auto& [id, transaction] : connection.transactions)
            transaction = Transaction::lost(tree_);
    }
}

std::size_t Store::transaction_count() const {
    std::size_t count = 0;
    for (const auto& [id, connection] : connections_)
        count += connection.transactions.size();
    return count;
}

std::string Store::check() const {
    std::size_t nodes = 0;
    std::map<DomId, std::size_t> owners;
    std::string fault;
    for_each_node(tree_.root(), "/", [&](const std::string& path, const Node& node) {
        ++nodes;
        ++owners[node.permissions->front().domain];
        if (!is_valid_path(path)) fault = "invalid path " + path;
        for (std::size_t i = 1; i < node.children.size(); ++i) {
            if (node.children[i - 1]->name >= node.children[i]->name)
                fault = "children out of order at " + path;
        }
    });
    if (nodes != tree_.node_count()) {
        fault = std::to_string(nodes) + " nodes counted, " + std::to_string(tree_.node_count()) + " noted";
    }
    for (const auto& [owner, count] : owners) {
        if (count != tree_.owned_by(owner))
            fault = "wrong node count of domain " + std::to_string(owner.raw());
    }
    std::size_t watches = 0;
    for (const auto& [id, connection] : connections_) {
        std::size_t own = 0;
        watches_.for_each_of(id, [&](const Watch&) { ++own; });
        if (own != watches_.count(id)) fault = "wrong watch count of " + connection.describe();
        watches += own;
    }
    if (watches != watches_.total()) fault = "watches without an owner";
    return fault;
}

}  // namespace torii::dom0::xenstore
