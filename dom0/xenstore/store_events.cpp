// What follows from changes: entries in the journal, and watch events.

#include "xenstore/path.h"
#include "xenstore/store.h"
#include "xenstore/wire.h"

namespace torii::dom0::xenstore {
namespace {

bool may_see(const PermissionsPtr& permissions, const Principal& principal) {
    return permissions != nullptr && is_allowed(*permissions, principal, Access::kRead);
}

// A node of a removed subtree by its former path; null if it wasn't there.
const Node* find_removed(const Change& change, std::string_view path) {
    const Node* node = change.removed.get();
    for (PathComponents rest(path.substr(change.path.size())); node != nullptr && !rest.at_end();) {
        node = node->child(rest.next());
    }
    return node;
}

}  // namespace

void Store::reply(Connection& connection, std::string message) {
    if (connection.is_persistent()) journal_.output_queued(connection.principal.domain, message);
    connection.output.add_reply(std::move(message));
    mark_news(connection);
}

void Store::publish() {
    for (const InitialEvent& event : initial_events_) {
        Connection* const connection = find_connection(event.connection);
        if (connection == nullptr) continue;
        ++events_;
        if (connection->kind == ConnectionKind::kLocal) {
            connection->local_events.emplace_back(event.path, event.token);
            mark_news(*connection);
            continue;
        }
        const std::string message = encode_watch_event(event.path, event.token);
        queue_event(*connection, message, message);
    }
    initial_events_.clear();
    for (const Change& change : unpublished_)
        journal_change(change);
    for (const Change& change : unpublished_) {
        if (change.announce) announce(change);
    }
    unpublished_.clear();
    give_up_old_transactions();
    for (const std::string& name : unpublished_special_) {
        const PermissionsPtr& permissions = special_permissions_.find(name)->second;
        watches_.for_each_at_or_above(name, [&](const Watch& watch) {
            const Connection* const owner = find_connection(watch.owner);
            if (owner != nullptr && may_see(permissions, owner->principal)) send_event(watch, name);
        });
    }
    unpublished_special_.clear();
}

std::vector<ConnectionId> Store::take_news() {
    for (const ConnectionId id : news_) {
        if (Connection* const connection = find_connection(id)) connection->has_news = false;
    }
    return std::exchange(news_, {});
}

void Store::journal_change(const Change& change) {
    if (change.removed != nullptr) {
        journal_.node_removed(change.path, tree_.generation());
    } else if (const Node* const node = tree_.find(change.path)) {
        // As the node is now, which includes later changes of the same request; gone again: a later change
        // says so.
        journal_.node(change.path, node->generation(), *node->permissions, node->value);
    }
}

void Store::announce(const Change& change) {
    watches_.for_each_at_or_above(change.path, [&](const Watch& watch) {
        const Connection* const owner = find_connection(watch.owner);
        if (owner == nullptr) return;
        // Who could read it before must hear of it, too: that it is gone is a change he could have seen.
        if (may_see(change.before, owner->principal) || may_see(change.after, owner->principal)) {
            send_event(watch, change.path);
        }
    });
    if (change.removed == nullptr) return;
    watches_.for_each_below(change.path, [&](const Watch& watch) {
        const Connection* const owner = find_connection(watch.owner);
        const Node* const node = find_removed(change, watch.path);
        if (owner != nullptr && node != nullptr && may_see(node->permissions, owner->principal)) {
            send_event(watch, watch.path);
        }
    });
}

void Store::send_event(const Watch& watch, std::string_view path) {
    Connection& connection = *find_connection(watch.owner);
    ++events_;
    if (connection.kind == ConnectionKind::kLocal) {
        connection.local_events.emplace_back(path, watch.token);
        mark_news(connection);
        return;
    }
    queue_event(connection, encode_watch_event(watch.as_seen_by_owner(path), watch.token),
                encode_watch_event(watch.as_seen_by_owner(watch.path), watch.token));
}

void Store::queue_event(Connection& connection, std::string message, std::string merged) {
    // The control domain's kernel and tools watch many domains at once.
    const std::size_t factor = connection.principal.privileged ? 16 : 1;
    const OutputQueue::Limits limits{quota_.pending_events * factor, quota_.pending_event_bytes * factor};
    if (connection.output.events() == limits.events)
        refuse_quota(connection, "pending events; they are merged");
    if (!connection.output.add_event(std::move(message), std::move(merged), limits)) return;
    if (connection.is_persistent()) {
        journal_.output_queued(connection.principal.domain, connection.output.newest());
    }
    mark_news(connection);
}

void Store::mark_news(Connection& connection) {
    if (connection.has_news) return;
    connection.has_news = true;
    news_.push_back(connection.id);
}

}  // namespace torii::dom0::xenstore
