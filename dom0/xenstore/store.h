#pragma once
// The store's state and what can be done with it, in typed form: request.h puts the wire in front of it,
// local_client.h the daemon.
//
// Nothing here is visible to a client by itself. One request is: an operation, the answer to it (reply()),
// publish(), which notes the changes for the journal and queues the watch events behind the answer, and the
// commit of the journal, after which the queued output may be sent.

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "xenstore/connection.h"
#include "xenstore/quota.h"
#include "xenstore/refusal_log.h"
#include "xenstore/state_sink.h"
#include "xenstore/tree.h"
#include "xenstore/tree_access.h"
#include "xenstore/types.h"
#include "xenstore/watches.h"

namespace torii::dom0::xenstore {

inline constexpr std::string_view kIntroduceEvent = "@introduceDomain";
inline constexpr std::string_view kReleaseEvent = "@releaseDomain";

class Store {
public:
    // Both are kept by reference and must outlive the store.
    Store(const Quota& quota, StateSink& journal, RefusalLog& refusals);

    Connection& add_connection(ConnectionKind kind, const Principal& principal);
    // With its watches and transactions.
    void remove_connection(Connection& connection);
    [[nodiscard]] Connection* find_connection(ConnectionId id);

    // Nodes. Paths are absolute and valid; `transaction` is 0 for none, an id of this connection otherwise.
    // Nodes are good until the next change.
    Expected<const Node*> read(Connection& connection, std::uint32_t transaction, std::string_view path);
    Expected<const Node*> list(Connection& connection, std::uint32_t transaction, std::string_view path);
    Expected<PermissionsPtr> permissions(Connection& connection, std::uint32_t transaction,
                                         std::string_view path);
    Expected<void> write(Connection& connection, std::uint32_t transaction, std::string_view path,
                         std::string_view value);
    Expected<void> make_directory(Connection& connection, std::uint32_t transaction, std::string_view path);
    Expected<void> remove(Connection& connection, std::uint32_t transaction, std::string_view path);
    // These two also take the special names.
    Expected<void> set_permissions(Connection& connection, std::uint32_t transaction, std::string_view path,
                                   const Permissions& permissions);

    Expected<std::uint32_t> start_transaction(Connection& connection);
    Expected<void> end_transaction(Connection& connection, std::uint32_t transaction, bool commit);

    // `path` is absolute, or special; `hidden_prefix` as in Watch.
    Expected<void> watch(Connection& connection, std::string_view path, std::string_view token,
                         std::size_t hidden_prefix);
    Expected<void> unwatch(Connection& connection, std::string_view path, std::string_view token);
    // Ends all watches and transactions of the connection.
    void reset_watches(Connection& connection);

    // Something happened to a domain. Only those who may read the special node are told.
    void announce_special(std::string_view name);
    // Removes what `domain` owns and every permission entry that names it.
    void remove_domain_entries(DomId domain);

    void reply(Connection& connection, std::string message);
    void publish();
    // Connections that have something new to send since the last call.
    [[nodiscard]] std::vector<ConnectionId> take_news();

    [[nodiscard]] const Tree& tree() const { return tree_; }
    [[nodiscard]] const Quota& quota() const { return quota_; }
    [[nodiscard]] const WatchRegistry& watches() const { return watches_; }
    [[nodiscard]] std::size_t transaction_count() const;
    [[nodiscard]] std::uint64_t conflicts() const { return conflicts_; }
    [[nodiscard]] std::uint64_t events() const { return events_; }

    // Recounts what is kept as counts; a sentence about the first difference, empty if all agrees.
    [[nodiscard]] std::string check() const;

    // Writes tree and special permissions, and the watches and transactions of one ring's connection.
    void describe(StateSink& sink) const;
    void describe_connection(const Connection& connection, StateSink& sink) const;

    // From the journal, without any question, event, or entry in the journal.
    Tree& tree_for_restore() { return tree_; }
    void restore_special(std::string_view name, const Permissions& permissions);
    void restore_watch(Connection& connection, std::string_view path, std::string_view token, bool relative);
    void restore_unwatch(Connection& connection, std::string_view path, std::string_view token);
    void restore_transaction(Connection& connection, std::uint32_t id);
    void restore_reset(Connection& connection);
    // After the last event: gives the transactions that were lost the restored tree to answer from.
    void finish_restore();

private:
    struct InitialEvent {
        ConnectionId connection;
        std::string path;
        std::string token;
    };

    // Runs operation(access) on the tree or on the transaction's copy.
    template <typename Operation>
    auto with_access(Connection& connection, std::uint32_t transaction, const Operation& operation)
        -> decltype(operation(std::declval<TreeAccess&>()));
    void journal_change(const Change& change);
    void announce(const Change& change);
    void send_event(const Watch& watch, std::string_view path);
    void queue_event(Connection& connection, std::string message, std::string merged);
    void mark_news(Connection& connection);
    // Gives up transactions of guests that have been open for too long.
    void give_up_old_transactions();
    void refuse_quota(const Connection& connection, std::string_view quota_name);

    const Quota& quota_;
    StateSink& journal_;
    RefusalLog& refusals_;
    Tree tree_;
    std::map<std::string, PermissionsPtr, std::less<>> special_permissions_;
    WatchRegistry watches_;
    std::map<ConnectionId, Connection> connections_;
    ConnectionId last_connection_ = 0;

    std::uint64_t next_look_at_transactions_ = 0;  // in generations of the tree
    std::vector<Change> unpublished_;
    std::vector<std::string> unpublished_special_;
    std::vector<InitialEvent> initial_events_;
    std::vector<ConnectionId> news_;
    std::uint64_t conflicts_ = 0;
    std::uint64_t events_ = 0;
};

}  // namespace torii::dom0::xenstore
