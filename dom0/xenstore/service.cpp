#include "xenstore/service.h"

#include "xenstore/engine.h"
#include "xenstore/socket_server.h"

namespace torii::dom0::xenstore {

Service::Service(boost::asio::io_context& io, Options options)
    : engine_(std::make_unique<Engine>(io, std::move(options))), client_(new LocalClient(*this)) {}

Service::~Service() = default;

void Service::listen() {
    if (engine_->options().socket_directory.empty() || sockets_) return;
    sockets_ = std::make_unique<SocketServer>(*engine_, engine_->options().socket_directory);
}

std::vector<RestoredDomain> Service::restored_domains() const {
    std::vector<RestoredDomain> domains;
    for (const auto& [domain, ring] : engine_->rings()) {
        if (!ring.attached()) domains.push_back({domain, ring.location()});
    }
    return domains;
}

void Service::introduce(DomId domain, const RingLocation& location, std::unique_ptr<RingChannel> channel) {
    engine_->introduce(domain, location, std::move(channel));
}

void Service::resume(DomId domain, std::unique_ptr<RingChannel> channel) {
    engine_->resume(domain, std::move(channel));
}

void Service::ring_signalled(DomId domain) {
    engine_->ring_signalled(domain);
}

void Service::domain_shut_down(DomId domain) {
    engine_->domain_shut_down(domain);
}

void Service::release(DomId domain) {
    engine_->release(domain);
}

void Service::remove_domain_entries(DomId domain) {
    engine_->remove_domain_entries(domain);
}

bool Service::is_introduced(DomId domain) const {
    return engine_->is_domain_introduced(domain);
}

bool Service::watches(DomId domain, std::string_view path) const {
    const auto ring = engine_->rings().find(domain);
    if (ring == engine_->rings().end()) return false;
    const ConnectionId owner = ring->second.connection().id;
    bool found = false;
    engine_->store().watches().for_each_at_or_above(
        path, [&](const Watch& watch) { found = found || watch.owner == owner; });
    return found;
}

std::size_t Service::node_count(DomId domain) const {
    return engine_->store().tree().owned_by(domain);
}

Counters Service::counters() const {
    return engine_->counters();
}

LocalClient& Service::client() {
    return *client_;
}

}  // namespace torii::dom0::xenstore
