#pragma once
// toriid's xenstore: the tree, its clients (domains over rings, programs over Unix sockets, the daemon
// itself), and the state that lets a killed daemon go on where it stopped.
//
// Everything here belongs to one thread: the one that runs the io_context.
//
// Life of a domain's connection:
//     introduce(domid, location, channel)    new domain: fires @introduceDomain
//     ring_signalled(domid)                  whenever the domain's event channel fires
//     domain_shut_down(domid)                it crashed or shut down: fires @releaseDomain
//     release(domid)                         it is gone: closes the channel, removes its watches,
//     transactions,
//                                            nodes and permission entries, fires @releaseDomain
// After a restart, for each entry of restored_domains(), either resume(domid, channel) or release(domid).

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "xenstore/local_client.h"
#include "xenstore/quota.h"
#include "xenstore/ring_channel.h"
#include "xenstore/state_sink.h"
#include "xenstore/types.h"

namespace torii::dom0::xenstore {

class Engine;
class SocketServer;

struct RestoredDomain {
    DomId domain;
    RingLocation location;
};

struct Options {
    // A tmpfs directory for the journal; created if missing. Empty: nothing survives a restart.
    std::filesystem::path state_directory;
    // Names one boot of the hypervisor. State of another boot is dropped.
    std::string boot_id;
    // Where "socket" and "socket_ro" are made (stock: /var/run/xenstored). Empty: no sockets.
    std::filesystem::path socket_directory;
    Quota quota;
    FailPointHook fail_point;
    // Maps the ring of a domain that a client names in an INTRODUCE request (other toolstacks than this
    // daemon). Returns null if it cannot. Unset: such requests are answered ENOSYS.
    std::function<std::unique_ptr<RingChannel>(DomId, const RingLocation&)> connect_domain;
    // Told, from the event loop, that a domain's ring is no longer served, and why ("an index ..."). Again
    // after resume(). Unset: nobody is told but the log.
    std::function<void(DomId, const std::string&)> ring_broken;
    // Gets each line of the service's log. Unset: nothing is logged.
    LogSink log;
};

// Snapshot of what is used, for leak checks and for people.
struct Counters {
    std::size_t nodes = 0;
    std::size_t watches = 0;
    std::size_t transactions = 0;
    std::size_t ring_connections = 0;
    std::size_t socket_connections = 0;
    std::uint64_t requests = 0;
    std::uint64_t refusals = 0;   // by quota or permission
    std::uint64_t conflicts = 0;  // transactions that ended in EAGAIN
    std::uint64_t events = 0;
    std::size_t journal_bytes = 0;
};

class Service {
public:
    // Reads the state of an earlier daemon, if there is any of this boot. Throws torii::Failure with a
    // sentence if the state directory cannot be used or another daemon holds it.
    Service(boost::asio::io_context& io, Options options);
    // Leaves the state as it is for the next daemon.
    ~Service();
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    // Opens the Unix sockets. Call it when the domains of restored_domains() have been resumed or released,
    // so that no client sees a half-restored store. Throws torii::Failure.
    void listen();

    // Domains that were connected when the last daemon ended and are not resumed or released yet.
    [[nodiscard]] std::vector<RestoredDomain> restored_domains() const;

    // Connects a new domain; also for the control domain's own kernel (kDom0). Whatever the page
    // holds is treated as hostile. Throws StoreFailure(kAlreadyConnected) if it is connected already.
    void introduce(DomId domain, const RingLocation& location, std::unique_ptr<RingChannel> channel);
    // Gives a restored domain its ring again: goes on exactly where the last daemon stopped, and notifies it.
    void resume(DomId domain, std::unique_ptr<RingChannel> channel);
    // The domain's event channel has fired.
    void ring_signalled(DomId domain);

    void domain_shut_down(DomId domain);
    // No error if the domain was never introduced: its entries are removed all the same.
    void release(DomId domain);
    // Removes nodes owned by `domain` and permission entries that name it. Call it before an id is used
    // again: somebody may have named the id while no domain had it.
    void remove_domain_entries(DomId domain);

    [[nodiscard]] bool is_introduced(DomId domain) const;
    // Whether the domain's own kernel has asked to be told of changes at `path`, or at a node above it.
    [[nodiscard]] bool watches(DomId domain, std::string_view path) const;
    [[nodiscard]] std::size_t node_count(DomId domain) const;
    [[nodiscard]] Counters counters() const;

    // The daemon's own access.
    [[nodiscard]] LocalClient& client();

private:
    friend class LocalAccess;
    friend class LocalClient;
    friend class LocalWatch;
    std::unique_ptr<Engine> engine_;
    std::unique_ptr<SocketServer> sockets_;
    std::unique_ptr<LocalClient> client_;
};

}  // namespace torii::dom0::xenstore
