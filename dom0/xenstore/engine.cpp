#include "xenstore/engine.h"

#include <boost/asio/post.hpp>
#include <chrono>

#include "xenstore/fail_points.h"

namespace torii::dom0::xenstore {
namespace {

constexpr std::chrono::milliseconds kStallRetry{250};

std::unique_ptr<JournalFile> open_journal(const Options& options) {
    if (options.state_directory.empty()) return nullptr;
    return std::make_unique<JournalFile>(options.state_directory, options.boot_id, options.fail_point);
}

}  // namespace

Engine::Engine(boost::asio::io_context& io, Options options)
    : io_(io),
      options_(std::move(options)),
      refusals_(options_.log),
      journal_(open_journal(options_)),
      store_(options_.quota, journal_, refusals_),
      handler_(store_, *this, refusals_),
      stall_timer_(io),
      alive_(std::make_shared<Engine*>(this)) {
    local_ = &store_.add_connection(ConnectionKind::kLocal, Principal{kDom0, std::nullopt, true});
    restore();
}

Counters Engine::counters() const {
    Counters counters;
    counters.nodes = store_.tree().node_count();
    counters.watches = store_.watches().total();
    counters.transactions = store_.transaction_count();
    counters.ring_connections = rings_.size();
    counters.socket_connections = socket_flushes_.size();
    counters.requests = handler_.handled();
    counters.refusals = refusals_.count();
    counters.conflicts = store_.conflicts();
    counters.events = store_.events();
    counters.journal_bytes = journal_.contents().size();
    return counters;
}

bool Engine::settle() {
    store_.publish();
    if (stalled_ || !commit()) return false;
    send_news();
    return true;
}

bool Engine::commit() {
    if (!journal_.commit()) {
        begin_stall();
        return false;
    }
    // A rewrite that finds no space costs nothing: the journal goes on as it is.
    if (journal_.wants_rewrite() && !journal_.rewrite(describe())) {
        log(LogSeverity::kWarning, "no space to rewrite the journal in " + options_.state_directory.string());
    }
    return true;
}

void Engine::begin_stall() {
    if (!stalled_) {
        log(LogSeverity::kError, "no space left in " + options_.state_directory.string() +
                                     ": no request is served until there is; free some");
    }
    stalled_ = true;
    stall_timer_.expires_after(kStallRetry);
    stall_timer_.async_wait([weak = std::weak_ptr(alive_)](const boost::system::error_code& error) {
        const auto engine = weak.lock();
        if (engine && !error) (*engine)->try_to_end_stall();
    });
}

void Engine::try_to_end_stall() {
    // The whole state may be smaller than the journal of how it came about.
    if (!journal_.commit() && !journal_.rewrite(describe())) return begin_stall();
    stalled_ = false;
    log(LogSeverity::kInfo, "serving requests again");
    for (auto& [domain, ring] : rings_) {
        if (!ring.attached()) continue;
        if (!ring.broken()) ring.show_indices();
        ring.want_notify();
        pump_later(domain);
    }
    const auto flushes = socket_flushes_;
    for (const auto& [id, flush] : flushes)
        flush();
    send_news();
}

void Engine::send_news() {
    for (const ConnectionId id : store_.take_news()) {
        Connection* const connection = store_.find_connection(id);
        if (connection == nullptr) continue;
        switch (connection->kind) {
            case ConnectionKind::kRing:
                if (const auto ring = rings_.find(connection->principal.domain); ring != rings_.end()) {
                    flush_ring(ring->second);
                }
                break;
            case ConnectionKind::kSocket:
                if (const auto flush = socket_flushes_.find(id); flush != socket_flushes_.end())
                    flush->second();
                break;
            case ConnectionKind::kLocal:
                if (!std::exchange(local_delivery_posted_, true)) {
                    boost::asio::post(io_, [weak = std::weak_ptr(alive_)] {
                        if (const auto engine = weak.lock()) (*engine)->deliver_local_events();
                    });
                }
                break;
        }
    }
}

Connection& Engine::open_socket(bool read_only, std::function<void()> flush) {
    // Who may open the socket is decided by its file permissions: the control domain's administrators.
    Connection& connection =
        store_.add_connection(ConnectionKind::kSocket, Principal{kDom0, std::nullopt, true});
    connection.read_only = read_only;
    socket_flushes_.emplace(connection.id, std::move(flush));
    return connection;
}

void Engine::close_socket(Connection& connection) {
    socket_flushes_.erase(connection.id);
    store_.remove_connection(connection);
}

void Engine::handle_socket_request(Connection& connection, const Message& message) {
    handler_.handle(connection, message);
    reach(fail_point::kRequestApplied);
    settle();
}

void Engine::add_local_watch(const std::string& token, LocalCallback callback) {
    local_callbacks_.emplace(token, std::move(callback));
}

void Engine::remove_local_watch(std::string_view path, const std::string& token) {
    (void)store_.unwatch(*local_, path, token);
    local_callbacks_.erase(token);
}

void Engine::deliver_local_events() {
    local_delivery_posted_ = false;
    // A callback may change the store and so add events; those come with the next delivery.
    const auto events = std::exchange(local_->local_events, {});
    const std::weak_ptr still_alive(alive_);
    for (const auto& [path, token] : events) {
        const auto entry = local_callbacks_.find(token);
        if (entry == local_callbacks_.end()) continue;
        const LocalCallback callback = entry->second;  // it may end its own watch
        callback(path);
        if (still_alive.expired()) return;
    }
}

void Engine::announce(std::string_view special) {
    store_.announce_special(special);
    settle();
}

}  // namespace torii::dom0::xenstore
