#include "xenstore/store.h"

#include <algorithm>

#include "xenstore/expected_macros.h"
#include "xenstore/path.h"
#include "xenstore/wire.h"

namespace torii::dom0::xenstore {

std::string Connection::describe() const {
    switch (kind) {
        case ConnectionKind::kRing:
            return "domain " + std::to_string(principal.domain.raw());
        case ConnectionKind::kSocket:
            return "socket client " + std::to_string(id);
        case ConnectionKind::kLocal:
            return "the daemon";
    }
    return {};
}

Store::Store(const Quota& quota, StateSink& journal, RefusalLog& refusals)
    : quota_(quota), journal_(journal), refusals_(refusals) {
    // Which domains come and go is the control domain's business until it gives others the right to know.
    const auto closed = std::make_shared<const Permissions>(Permissions{{kDom0, Access::kNone}});
    special_permissions_.emplace(kIntroduceEvent, closed);
    special_permissions_.emplace(kReleaseEvent, closed);
}

Connection& Store::add_connection(ConnectionKind kind, const Principal& principal) {
    do {
        ++last_connection_;
    } while (connections_.contains(last_connection_));
    Connection& connection = connections_[last_connection_];
    connection.id = last_connection_;
    connection.kind = kind;
    connection.principal = principal;
    return connection;
}

void Store::remove_connection(Connection& connection) {
    watches_.remove_all(connection.id);
    connections_.erase(connection.id);
}

Connection* Store::find_connection(ConnectionId id) {
    const auto entry = connections_.find(id);
    return entry == connections_.end() ? nullptr : &entry->second;
}

template <typename Operation>
auto Store::with_access(Connection& connection, std::uint32_t transaction, const Operation& operation)
    -> decltype(operation(std::declval<TreeAccess&>())) {
    if (transaction == 0) {
        TreeAccess access(tree_, connection.principal, quota_, nullptr);
        auto outcome = operation(access);
        if (!outcome && !access.refusing_quota().empty()) refuse_quota(connection, access.refusing_quota());
        std::move(access.changes().begin(), access.changes().end(), std::back_inserter(unpublished_));
        return outcome;
    }
    const auto open = connection.transactions.find(transaction);
    if (open == connection.transactions.end()) return StoreError::kNotFound;
    Transaction& copy = open->second;
    if (!connection.principal.privileged && copy.facets().size() >= quota_.nodes_per_transaction) {
        refuse_quota(connection, "nodes per transaction");
        return StoreError::kNoSpace;
    }
    TreeAccess access(copy.view(), connection.principal, quota_, &copy.facets());
    auto outcome = operation(access);
    if (!outcome && !access.refusing_quota().empty()) refuse_quota(connection, access.refusing_quota());
    return outcome;
}

Expected<const Node*> Store::read(Connection& connection, std::uint32_t transaction, std::string_view path) {
    return with_access(connection, transaction, [&](TreeAccess& access) { return access.read(path); });
}

Expected<const Node*> Store::list(Connection& connection, std::uint32_t transaction, std::string_view path) {
    return with_access(connection, transaction, [&](TreeAccess& access) { return access.list(path); });
}

Expected<PermissionsPtr> Store::permissions(Connection& connection, std::uint32_t transaction,
                                            std::string_view path) {
    if (is_special(path)) {
        const auto special = special_permissions_.find(path);
        if (special == special_permissions_.end()) return StoreError::kNotFound;
        if (!is_allowed(*special->second, connection.principal, Access::kRead))
            return StoreError::kAccessDenied;
        return special->second;
    }
    const auto node = with_access(connection, transaction,
                                  [&](TreeAccess& access) { return access.read_permissions(path); });
    if (!node) return node.error();
    return (*node)->permissions;
}

Expected<void> Store::write(Connection& connection, std::uint32_t transaction, std::string_view path,
                            std::string_view value) {
    return with_access(connection, transaction,
                       [&](TreeAccess& access) { return access.write(path, value); });
}

Expected<void> Store::make_directory(Connection& connection, std::uint32_t transaction,
                                     std::string_view path) {
    return with_access(connection, transaction,
                       [&](TreeAccess& access) { return access.make_directory(path); });
}

Expected<void> Store::remove(Connection& connection, std::uint32_t transaction, std::string_view path) {
    return with_access(connection, transaction, [&](TreeAccess& access) { return access.remove(path); });
}

Expected<void> Store::set_permissions(Connection& connection, std::uint32_t transaction,
                                      std::string_view path, const Permissions& permissions) {
    if (!is_special(path)) {
        return with_access(connection, transaction,
                           [&](TreeAccess& access) { return access.set_permissions(path, permissions); });
    }
    if (!connection.principal.privileged) return StoreError::kAccessDenied;
    const auto special = special_permissions_.find(path);
    if (special == special_permissions_.end()) return StoreError::kNotFound;
    special->second = std::make_shared<const Permissions>(permissions);
    journal_.special_permissions(path, permissions);
    return {};
}

Expected<std::uint32_t> Store::start_transaction(Connection& connection) {
    if (!connection.principal.privileged &&
        connection.transactions.size() >= quota_.transactions_per_domain) {
        refuse_quota(connection, "transactions per domain");
        return StoreError::kNoSpace;
    }
    std::uint32_t& id = connection.last_transaction;
    do {
        ++id;
    } while (id == 0 || connection.transactions.contains(id));
    connection.transactions.emplace(id, Transaction(tree_));
    if (connection.is_persistent()) journal_.transaction_opened(connection.principal.domain, id);
    return id;
}

Expected<void> Store::end_transaction(Connection& connection, std::uint32_t transaction, bool commit) {
    const auto open = connection.transactions.find(transaction);
    if (open == connection.transactions.end()) return StoreError::kNotFound;
    // Taken out first: however it ends, its id is free afterwards.
    const Transaction ended = std::move(open->second);
    connection.transactions.erase(open);
    if (connection.is_persistent()) journal_.transaction_closed(connection.principal.domain, transaction);
    if (!commit) return {};
    auto changes = ended.merge_into(tree_, connection.principal, quota_);
    if (!changes) {
        if (changes.error() == StoreError::kTryAgain) ++conflicts_;
        if (changes.error() == StoreError::kNoSpace) refuse_quota(connection, "nodes per domain");
        return changes.error();
    }
    std::move(changes->begin(), changes->end(), std::back_inserter(unpublished_));
    return {};
}

Expected<void> Store::watch(Connection& connection, std::string_view path, std::string_view token,
                            std::size_t hidden_prefix) {
    if (!connection.principal.privileged && watches_.count(connection.id) >= quota_.watches_per_domain) {
        refuse_quota(connection, "watches per domain");
        return StoreError::kTooBig;
    }
    TRY(watches_.add(Watch{connection.id, std::string(path), std::string(token), hidden_prefix}));
    if (connection.is_persistent()) {
        journal_.watch_added(connection.principal.domain, path, token, hidden_prefix != 0);
    }
    // The event that every new watch gets at once tells its owner to look at the state as it is.
    initial_events_.push_back({connection.id, std::string(path.substr(hidden_prefix)), std::string(token)});
    return {};
}

Expected<void> Store::unwatch(Connection& connection, std::string_view path, std::string_view token) {
    TRY(watches_.remove(connection.id, path, token));
    if (connection.is_persistent()) journal_.watch_removed(connection.principal.domain, path, token);
    return {};
}

void Store::give_up_old_transactions() {
    if (tree_.generation() < next_look_at_transactions_) return;
    next_look_at_transactions_ = tree_.generation() + quota_.changes_during_transaction / 4;
    for (auto& [connection_id, connection] : connections_) {
        if (connection.principal.privileged) continue;
        for (auto& [id, transaction] : connection.transactions) {
            if (transaction.age(tree_) <= quota_.changes_during_transaction) continue;
            if (!transaction.is_lost()) refuse_quota(connection, "changes during a transaction");
            transaction = Transaction::lost(tree_);
        }
    }
}

void Store::reset_watches(Connection& connection) {
    restore_reset(connection);
    if (connection.is_persistent()) journal_.watches_reset(connection.principal.domain);
}

void Store::announce_special(std::string_view name) {
    unpublished_special_.emplace_back(name);
}

void Store::remove_domain_entries(DomId domain) {
    std::vector<std::string> owned;
    std::vector<std::pair<std::string, PermissionsPtr>> naming;
    for_each_node(tree_.root(), "/", [&](const std::string& path, const Node& node) {
        if (!owned.empty() && is_at_or_below(path, owned.back())) return;
        if (node.permissions->front().domain == domain && path != "/") {
            owned.push_back(path);
        } else if (PermissionsPtr remaining = without_domain(*node.permissions, domain)) {
            naming.emplace_back(path, std::move(remaining));
        }
    });
    for (const std::string& path : owned) {
        Change change{path, true, tree_.find(path)->permissions, nullptr, nullptr};
        change.removed = tree_.remove(path);
        unpublished_.push_back(std::move(change));
    }
    for (auto& [path, remaining] : naming) {
        Change change{path, false, nullptr, remaining, nullptr};
        tree_.set_permissions(path, remaining);
        unpublished_.push_back(std::move(change));
    }
    for (auto& [name, permissions] : special_permissions_) {
        const PermissionsPtr remaining = without_domain(*permissions, domain);
        if (remaining == nullptr) continue;
        permissions = remaining;
        journal_.special_permissions(name, *remaining);
    }
    refusals_.forget(domain);
}

void Store::refuse_quota(const Connection& connection, std::string_view quota_name) {
    refusals_.refused(connection.principal.domain, [&] {
        return "xenstore: " + connection.describe() + ": quota used up: " + std::string(quota_name);
    });
}

}  // namespace torii::dom0::xenstore
