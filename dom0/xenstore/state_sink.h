#pragma once
// Everything of the service that outlives a daemon, as a sequence of events.
//
// One vocabulary serves three ends: what happens is written to the journal as it happens, the whole state can
// be written as the shortest sequence that leads to it, and reading either sequence back rebuilds the state.
// Only connections over rings appear: a Unix socket dies with the daemon, and its client connects anew.

#include <cstdint>
#include <string_view>

#include "xenstore/permissions.h"
#include "xenstore/types.h"

namespace torii::dom0::xenstore {

// Where a domain's ring is found. The service only keeps it and hands it back after a restart.
struct RingLocation {
    std::uint64_t frame = 0;  // machine frame (or gfn) of the page; 0 where the daemon needs none
    std::uint32_t port = 0;   // the event channel in the domain
};

class StateSink {
public:
    virtual ~StateSink() = default;

    // The node came to be, or has changed: this is all of it. Its parent exists.
    virtual void node(std::string_view path, std::uint64_t generation, const Permissions& permissions,
                      std::string_view value) = 0;
    virtual void node_removed(std::string_view path, std::uint64_t generation) = 0;
    virtual void special_permissions(std::string_view name, const Permissions& permissions) = 0;

    virtual void domain_introduced(DomId domain, const RingLocation& location) = 0;
    virtual void domain_released(DomId domain) = 0;
    virtual void domain_target(DomId domain, DomId target) = 0;

    // `path` is absolute or special; `relative` says that the domain named it relative to its own path.
    virtual void watch_added(DomId domain, std::string_view path, std::string_view token, bool relative) = 0;
    virtual void watch_removed(DomId domain, std::string_view path, std::string_view token) = 0;
    virtual void transaction_opened(DomId domain, std::uint32_t id) = 0;
    virtual void transaction_closed(DomId domain, std::uint32_t id) = 0;
    // All watches and transactions of the domain ended.
    virtual void watches_reset(DomId domain) = 0;

    // Bytes of a request that is not complete yet were taken from the ring, up to index `consumed`.
    virtual void input_taken(DomId domain, std::uint32_t consumed, std::string_view bytes) = 0;
    // A request, with what had been taken of it, is done; the ring is consumed up to index `consumed`.
    virtual void request_done(DomId domain, std::uint32_t consumed) = 0;
    // A whole message waits to be sent.
    virtual void output_queued(DomId domain, std::string_view message) = 0;
    // The next `count` of the waiting bytes are in the ring, which is filled up to index `produced`.
    virtual void output_sent(DomId domain, std::uint32_t produced, std::uint32_t count) = 0;
    // The ring begins anew at these indices; nothing is waiting in either direction. `broken`: it is not
    // served until the domain asks for a reconnection.
    virtual void ring_reset(DomId domain, std::uint32_t consumed, std::uint32_t produced, bool broken) = 0;
};

}  // namespace torii::dom0::xenstore
