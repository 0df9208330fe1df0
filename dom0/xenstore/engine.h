#pragma once
// Drives the store: takes requests from rings and sockets, makes each one durable, and only then lets anybody
// see what came of it.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "xenstore/journal.h"
#include "xenstore/refusal_log.h"
#include "xenstore/request.h"
#include "xenstore/ring.h"
#include "xenstore/service.h"
#include "xenstore/store.h"

namespace torii::dom0::xenstore {

class Engine final : public DomainOperations {
public:
    Engine(boost::asio::io_context& io, Options options);

    [[nodiscard]] boost::asio::io_context& io() { return io_; }
    [[nodiscard]] Store& store() { return store_; }
    [[nodiscard]] const Options& options() const { return options_; }
    [[nodiscard]] RefusalLog& refusals() { return refusals_; }
    [[nodiscard]] const std::map<DomId, DomainRing>& rings() const { return rings_; }
    [[nodiscard]] Counters counters() const;
    // The whole state as the journal's records.
    [[nodiscard]] std::string describe() const;

    // Publishes and commits what was done in the store, and sends what waits. False if the state directory
    // has no space: the rest happens when it has.
    bool settle();
    // True while the journal cannot take what is pending; no request may be served then.
    [[nodiscard]] bool stalled() const { return stalled_; }

    // Socket clients. `flush` is called when there is output, and when serving may go on after a stall.
    Connection& open_socket(bool read_only, std::function<void()> flush);
    void close_socket(Connection& connection);
    void handle_socket_request(Connection& connection, const Message& message);

    // The daemon itself.
    [[nodiscard]] Connection& local() { return *local_; }
    using LocalCallback = std::function<void(const std::string& path)>;
    void add_local_watch(const std::string& token, LocalCallback callback);
    void remove_local_watch(std::string_view path, const std::string& token);

    // Domains, as in service.h.
    void introduce(DomId domain, const RingLocation& location, std::unique_ptr<RingChannel> channel);
    void resume(DomId domain, std::unique_ptr<RingChannel> channel);
    void ring_signalled(DomId domain);
    void domain_shut_down(DomId domain);
    void release(DomId domain);
    void remove_domain_entries(DomId domain);

    // DomainOperations: what clients ask for.
    Expected<void> introduce_domain(DomId domain, const RingLocation& location) override;
    Expected<void> release_domain(DomId domain) override;
    Expected<void> set_domain_target(DomId domain, DomId target) override;
    [[nodiscard]] bool is_domain_introduced(DomId domain) const override { return rings_.contains(domain); }

private:
    class Restorer;

    void reach(std::string_view step) const {
        if (options_.fail_point) options_.fail_point(step);
    }
    void log(LogSeverity severity, const std::string& line) const {
        refusals_.log(severity, "xenstore: " + line);
    }

    // State.
    void restore();
    DomainRing& add_ring(DomId domain, const RingLocation& location);
    void drop_ring(DomId domain);
    void set_target(DomId domain, DomId target);

    // Durability.
    [[nodiscard]] bool commit();
    void begin_stall();
    void try_to_end_stall();
    void send_news();

    // Rings.
    void pump(DomId domain);
    void pump_later(DomId domain);
    [[nodiscard]] bool serve_one(DomainRing& ring);
    [[nodiscard]] bool owes_too_much_reading(const DomainRing& ring);
    void flush_ring(DomainRing& ring);
    void reconnect(DomainRing& ring);
    void break_ring(DomainRing& ring, std::uint32_t reason);
    void tell_broken(DomId domain, const std::string& why);
    void announce(std::string_view special);

    void deliver_local_events();

    boost::asio::io_context& io_;
    Options options_;
    RefusalLog refusals_;
    Journal journal_;
    Store store_;
    RequestHandler handler_;
    std::map<DomId, DomainRing> rings_;
    std::map<ConnectionId, std::function<void()>> socket_flushes_;
    Connection* local_ = nullptr;
    std::map<std::string, LocalCallback, std::less<>> local_callbacks_;
    bool local_delivery_posted_ = false;
    bool stalled_ = false;
    boost::asio::steady_timer stall_timer_;
    // Work posted to the io_context holds a weak pointer to it, and does nothing when the engine is gone.
    std::shared_ptr<Engine*> alive_;
};

}  // namespace torii::dom0::xenstore
