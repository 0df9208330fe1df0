// The engine's state in the journal: read back at start, written out whole when the journal has grown.

#include "xenstore/engine.h"
#include "xenstore/path.h"

namespace torii::dom0::xenstore {

// Rebuilds the state from the journal's events. They were written by a daemon like this one, but a mistake in
// them must not take this one down, so each is checked as far as the state's invariants need it.
class Engine::Restorer final : public StateSink {
public:
    explicit Restorer(Engine& engine) : engine_(engine), tree_(engine.store_.tree_for_restore()) {}

    [[nodiscard]] std::size_t skipped() const { return skipped_; }

    void node(std::string_view path, std::uint64_t generation, const Permissions& permissions,
              std::string_view value) override {
        if (!is_valid_path(path) || tree_.find(parent_path(path)) == nullptr) return skip();
        tree_.restore(path, value, std::make_shared<const Permissions>(permissions), generation);
    }
    void node_removed(std::string_view path, std::uint64_t generation) override {
        if (!is_valid_path(path) || path == "/" || tree_.find(path) == nullptr) return skip();
        tree_.remove(path);
        tree_.advance_generation(generation);
    }
    void special_permissions(std::string_view name, const Permissions& permissions) override {
        engine_.store_.restore_special(name, permissions);
    }

    void domain_introduced(DomId domain, const RingLocation& location) override {
        if (engine_.rings_.contains(domain)) return skip();
        engine_.add_ring(domain, location);
    }
    void domain_released(DomId domain) override { engine_.drop_ring(domain); }
    void domain_target(DomId domain, DomId target) override { engine_.set_target(domain, target); }

    void watch_added(DomId domain, std::string_view path, std::string_view token, bool relative) override {
        with_connection(domain, [&](Connection& connection) {
            engine_.store_.restore_watch(connection, path, token, relative);
        });
    }
    void watch_removed(DomId domain, std::string_view path, std::string_view token) override {
        with_connection(
            domain, [&](Connection& connection) { engine_.store_.restore_unwatch(connection, path, token); });
    }
    void transaction_opened(DomId domain, std::uint32_t id) override {
        with_connection(domain,
                        [&](Connection& connection) { engine_.store_.restore_transaction(connection, id); });
    }
    void transaction_closed(DomId domain, std::uint32_t id) override {
        with_connection(domain, [&](Connection& connection) { connection.transactions.erase(id); });
    }
    void watches_reset(DomId domain) override {
        with_connection(domain, [&](Connection& connection) { engine_.store_.restore_reset(connection); });
    }

    void input_taken(DomId domain, std::uint32_t consumed, std::string_view bytes) override {
        with_ring(domain, [&](DomainRing& ring) { ring.restore_input(consumed, bytes); });
    }
    void request_done(DomId domain, std::uint32_t consumed) override {
        with_ring(domain, [&](DomainRing& ring) { ring.restore_request_done(consumed); });
    }
    void output_queued(DomId domain, std::string_view message) override {
        with_connection(domain, [&](Connection& connection) { connection.output.restore(message); });
    }
    void output_sent(DomId domain, std::uint32_t produced, std::uint32_t count) override {
        with_ring(domain, [&](DomainRing& ring) {
            ring.restore_output_sent(produced);
            ring.connection().output.consume(count);
        });
    }
    void ring_reset(DomId domain, std::uint32_t consumed, std::uint32_t produced, bool broken) override {
        with_ring(domain, [&](DomainRing& ring) {
            engine_.store_.restore_reset(ring.connection());
            ring.connection().output.clear();
            ring.restore_indices(consumed, produced, broken);
        });
    }

private:
    template <typename Action>
    void with_ring(DomId domain, const Action& action) {
        const auto entry = engine_.rings_.find(domain);
        if (entry == engine_.rings_.end()) return skip();
        action(entry->second);
    }
    template <typename Action>
    void with_connection(DomId domain, const Action& action) {
        with_ring(domain, [&](DomainRing& ring) { action(ring.connection()); });
    }
    void skip() { ++skipped_; }

    Engine& engine_;
    Tree& tree_;
    std::size_t skipped_ = 0;
};

void Engine::restore() {
    const std::string_view records = journal_.contents();
    if (records.empty()) return;
    Restorer restorer(*this);
    const bool well_formed = replay_records(records, restorer);
    store_.finish_restore();
    if (!well_formed || restorer.skipped() != 0) {
        log(LogSeverity::kError, "the journal is damaged: " + std::to_string(restorer.skipped()) +
                                     " entries skipped" + (well_formed ? "" : ", the end is unreadable") +
                                     "; going on with what could be read");
    }
    log(LogSeverity::kInfo, "restored " + std::to_string(store_.tree().node_count()) + " nodes and " +
                                std::to_string(rings_.size()) + " domains");
    // Shortens the next start. Without space for it the journal serves as it is, unless it is damaged.
    if (!journal_.rewrite(describe()) && !well_formed) begin_stall();
}

std::string Engine::describe() const {
    RecordWriter writer;
    store_.describe(writer);
    for (const auto& [domain, ring] : rings_) {
        writer.domain_introduced(domain, ring.location());
        writer.ring_reset(domain, ring.consumed(), ring.produced(), ring.broken());
        store_.describe_connection(ring.connection(), writer);
        if (!ring.partial_input().empty()) writer.input_taken(domain, ring.consumed(), ring.partial_input());
    }
    return writer.bytes();
}

}  // namespace torii::dom0::xenstore
