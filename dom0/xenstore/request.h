#pragma once
// Reads a message, does what it asks, and queues exactly one answer (xenstore.txt; public io/xs_wire.h).

#include <functional>
#include <string>
#include <string_view>

#include "xenstore/connection.h"
#include "xenstore/refusal_log.h"
#include "xenstore/state_sink.h"
#include "xenstore/store.h"
#include "xenstore/wire.h"

namespace torii::dom0::xenstore {

// What a request may ask of the service beyond the store itself.
class DomainOperations {
public:
    virtual ~DomainOperations() = default;
    virtual Expected<void> introduce_domain(DomId domain, const RingLocation& location) = 0;
    virtual Expected<void> release_domain(DomId domain) = 0;
    virtual Expected<void> set_domain_target(DomId domain, DomId target) = 0;
    [[nodiscard]] virtual bool is_domain_introduced(DomId domain) const = 0;
};

class RequestHandler {
public:
    // All by reference; they must outlive the handler.
    RequestHandler(Store& store, DomainOperations& domains, RefusalLog& refusals)
        : store_(store), domains_(domains), refusals_(refusals) {}

    // Afterwards the answer and all that follows from the request is queued and noted for the journal.
    void handle(Connection& connection, const Message& message);

    [[nodiscard]] std::uint64_t handled() const { return handled_; }

private:
    // An answer's payload, or the error to name in it.
    using Answer = Expected<std::string>;
    struct Request {
        Connection& connection;
        std::uint32_t transaction;
        std::string_view payload;
    };
    using Handler = Answer (RequestHandler::*)(const Request&);
    struct Entry {
        Handler handler = nullptr;
        bool changes = false;     // refused on a read-only connection
        bool privileged = false;  // for the control domain only
    };
    static Entry entry_for(std::uint32_t type);

    Answer dispatch(Connection& connection, const Message& message);
    void log_refusal(const Connection& connection, const Message& message, StoreError error);

    // A payload that is one path.
    static Expected<std::string> single_path(const Request& request);

    Answer directory(const Request& request);
    Answer directory_part(const Request& request);
    Answer read(const Request& request);
    Answer get_permissions(const Request& request);
    Answer write(const Request& request);
    Answer make_directory(const Request& request);
    Answer remove(const Request& request);
    Answer set_permissions(const Request& request);
    Answer watch(const Request& request);
    Answer unwatch(const Request& request);
    Answer reset_watches(const Request& request);
    Answer start_transaction(const Request& request);
    Answer end_transaction(const Request& request);
    Answer introduce(const Request& request);
    Answer release(const Request& request);
    Answer get_domain_path(const Request& request);
    Answer is_domain_introduced(const Request& request);
    Answer resume(const Request& request);
    Answer set_target(const Request& request);
    Answer control(const Request& request);

    Store& store_;
    DomainOperations& domains_;
    RefusalLog& refusals_;
    std::uint64_t handled_ = 0;
};

}  // namespace torii::dom0::xenstore
