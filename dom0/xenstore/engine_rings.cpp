// The engine's dealings with domains.

#include <boost/asio/post.hpp>

#include "xenstore/engine.h"
#include "xenstore/fail_points.h"

namespace torii::dom0::xenstore {
namespace {

// Requests of one domain before the others get their turn.
constexpr unsigned kRequestsPerTurn = 16;

std::string name_of(DomId domain) {
    return "domain " + std::to_string(domain.raw());
}

}  // namespace

DomainRing& Engine::add_ring(DomId domain, const RingLocation& location) {
    Connection& connection =
        store_.add_connection(ConnectionKind::kRing, Principal{domain, std::nullopt, domain == kDom0});
    return rings_.emplace(domain, DomainRing(connection, location)).first->second;
}

void Engine::drop_ring(DomId domain) {
    const auto entry = rings_.find(domain);
    if (entry == rings_.end()) return;
    store_.remove_connection(entry->second.connection());
    rings_.erase(entry);
    // The id may be used again, and then names somebody else.
    for (auto& [other, ring] : rings_) {
        auto& target = ring.connection().principal.target;
        if (target == domain) target.reset();
    }
}

void Engine::introduce(DomId domain, const RingLocation& location, std::unique_ptr<RingChannel> channel) {
    if (rings_.contains(domain)) {
        throw StoreFailure(StoreError::kAlreadyConnected,
                           "The xenstore serves " + name_of(domain) + " already; release it first.");
    }
    DomainRing& ring = add_ring(domain, location);
    ring.attach(std::move(channel));
    journal_.domain_introduced(domain, location);
    journal_.ring_reset(domain, ring.consumed(), ring.produced(), false);
    announce(kIntroduceEvent);
    // Whoever waits for the store to come up is woken, also if nothing was asked yet.
    ring.want_notify();
    pump(domain);
}

void Engine::resume(DomId domain, std::unique_ptr<RingChannel> channel) {
    const auto entry = rings_.find(domain);
    if (entry == rings_.end() || entry->second.attached()) {
        throw StoreFailure(StoreError::kNotFound, "The xenstore has no connection of " + name_of(domain) +
                                                      " to resume; introduce it.");
    }
    entry->second.reattach(std::move(channel));
    // Signals sent while no daemon listened are lost, in both directions.
    entry->second.want_notify();
    // Which of the reasons it was isn't kept.
    if (entry->second.broken()) tell_broken(domain, "what it holds makes no sense");
    pump(domain);
}

void Engine::ring_signalled(DomId domain) {
    pump(domain);
}

void Engine::domain_shut_down(DomId domain) {
    if (rings_.contains(domain)) announce(kReleaseEvent);
}

void Engine::release(DomId domain) {
    const bool was_introduced = rings_.contains(domain);
    drop_ring(domain);
    if (was_introduced) journal_.domain_released(domain);
    store_.remove_domain_entries(domain);
    if (was_introduced) {
        announce(kReleaseEvent);
    } else {
        settle();
    }
}

void Engine::remove_domain_entries(DomId domain) {
    store_.remove_domain_entries(domain);
    settle();
}

Expected<void> Engine::introduce_domain(DomId domain, const RingLocation& location) {
    if (rings_.contains(domain)) {
        // Stock toolstacks introduce a domain again to have watchers told once more.
        store_.announce_special(kIntroduceEvent);
        return {};
    }
    if (!options_.connect_domain) return StoreError::kNotImplemented;
    auto channel = options_.connect_domain(domain, location);
    if (channel == nullptr) return StoreError::kInputOutput;
    DomainRing& ring = add_ring(domain, location);
    ring.attach(std::move(channel));
    journal_.domain_introduced(domain, location);
    journal_.ring_reset(domain, ring.consumed(), ring.produced(), false);
    store_.announce_special(kIntroduceEvent);
    ring.want_notify();
    pump_later(domain);
    return {};
}

Expected<void> Engine::release_domain(DomId domain) {
    if (!rings_.contains(domain)) return StoreError::kNotFound;
    drop_ring(domain);
    journal_.domain_released(domain);
    store_.remove_domain_entries(domain);
    store_.announce_special(kReleaseEvent);
    return {};
}

Expected<void> Engine::set_domain_target(DomId domain, DomId target) {
    if (!rings_.contains(domain) || !rings_.contains(target)) return StoreError::kNotFound;
    set_target(domain, target);
    journal_.domain_target(domain, target);
    return {};
}

void Engine::set_target(DomId domain, DomId target) {
    const auto entry = rings_.find(domain);
    if (entry != rings_.end()) entry->second.connection().principal.target = target;
}

void Engine::pump_later(DomId domain) {
    boost::asio::post(io_, [weak = std::weak_ptr(alive_), domain] {
        if (const auto engine = weak.lock()) (*engine)->pump(domain);
    });
}

void Engine::pump(DomId domain) {
    const auto entry = rings_.find(domain);
    if (entry == rings_.end() || !entry->second.attached() || stalled_) return;
    DomainRing& ring = entry->second;
    if (ring.reconnection_wanted()) reconnect(ring);
    // The domain may have read what was in its way.
    flush_ring(ring);
    unsigned left = kRequestsPerTurn;
    while (left != 0 && serve_one(ring))
        --left;
    ring.notify_if_wanted();
    if (left == 0) pump_later(domain);
}

bool Engine::serve_one(DomainRing& ring) {
    if (stalled_ || ring.broken() || owes_too_much_reading(ring)) return false;
    const DomainRing::Input input = ring.read();
    switch (input) {
        case DomainRing::Input::kNothing:
            return false;
        case DomainRing::Input::kBroken:
            break_ring(ring, ring.partial_input().empty() ? abi::kXenstoreErrorRingIndex
                                                          : abi::kXenstoreErrorProtocol);
            return false;
        case DomainRing::Input::kPart:
            journal_.input_taken(ring.domain(), ring.consumed(), ring.last_read());
            if (!commit()) return false;
            reach(fail_point::kInputTaken);
            break;
        case DomainRing::Input::kMessage:
            reach(fail_point::kRequestRead);
            handler_.handle(ring.connection(), ring.take_message());
            journal_.request_done(ring.domain(), ring.consumed());
            reach(fail_point::kRequestApplied);
            if (!commit()) return false;
            reach(fail_point::kRecordCommitted);
            break;
    }
    ring.show_indices();
    ring.want_notify();
    reach(fail_point::kIndexAdvanced);
    send_news();
    return true;
}

bool Engine::owes_too_much_reading(const DomainRing& ring) {
    const std::size_t factor = ring.connection().principal.privileged ? 16 : 1;
    const std::size_t limit = options_.quota.outstanding_requests * factor;
    if (ring.connection().output.replies() < limit) return false;
    refusals_.refused(ring.domain(), [&] {
        return "xenstore: " + ring.connection().describe() +
               ": quota used up: outstanding requests; not served until it reads its answers";
    });
    return true;
}

void Engine::flush_ring(DomainRing& ring) {
    if (!ring.attached() || ring.broken() || stalled_ || ring.connection().output.empty()) return;
    bool corrupt = false;
    const std::uint32_t written = ring.write(corrupt);
    if (corrupt) return break_ring(ring, abi::kXenstoreErrorRingIndex);
    if (written == 0) return;
    reach(fail_point::kReplyCopied);
    journal_.output_sent(ring.domain(), ring.produced(), written);
    if (!commit()) return;
    reach(fail_point::kReplyRecorded);
    ring.show_indices();
    reach(fail_point::kReplyPublished);
    ring.want_notify();
    ring.notify_if_wanted();
}

void Engine::reconnect(DomainRing& ring) {
    store_.restore_reset(ring.connection());
    ring.connection().output.clear();
    // Dead before the commit, the domain still asks for the reconnection and all of this is done again.
    ring.restart_indices();
    journal_.ring_reset(ring.domain(), 0, 0, false);
    if (!commit()) return;
    ring.show_connected();
    ring.want_notify();
    log(LogSeverity::kDebug, name_of(ring.domain()) + " has reconnected its ring");
}

void Engine::break_ring(DomainRing& ring, std::uint32_t reason) {
    store_.restore_reset(ring.connection());
    ring.connection().output.clear();
    ring.mark_broken(reason);
    journal_.ring_reset(ring.domain(), ring.consumed(), ring.produced(), true);
    const std::string why = reason == abi::kXenstoreErrorProtocol ? "it announced a message that is too long"
                                                                  : "an index in its ring makes no sense";
    refusals_.refused(ring.domain(), [&] {
        return "xenstore: " + name_of(ring.domain()) + ": ring no longer served: " + why;
    });
    (void)commit();
    ring.want_notify();
    ring.notify_if_wanted();
    tell_broken(ring.domain(), why);
}

// Later, since whoever is told may release the domain.
void Engine::tell_broken(DomId domain, const std::string& why) {
    if (!options_.ring_broken) return;
    boost::asio::post(io_, [weak = std::weak_ptr(alive_), domain, why] {
        const auto engine = weak.lock();
        // Meanwhile the id may have become another's.
        if (!engine || !(*engine)->rings_.contains(domain)) return;
        if ((*engine)->rings_.at(domain).broken()) (*engine)->options_.ring_broken(domain, why);
    });
}

}  // namespace torii::dom0::xenstore
