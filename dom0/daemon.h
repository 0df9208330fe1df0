#pragma once
// The daemon as a whole: which parts there are, in which order they start, and how they are tied together.

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "control/server.h"
#include "devices/backend_factory.h"
#include "devices/devices.h"
#include "fail_point.h"
#include "lifecycle/domain_manager.h"
#include "state/state_store.h"
#include "xen/event_channel_device.h"
#include "xen/file_descriptor.h"
#include "xen/hypervisor.h"
#include "xen/privcmd.h"
#include "xenstore/service.h"

namespace torii::dom0 {

struct DaemonOptions {
    std::filesystem::path socket = "/run/torii/control.sock";
    std::string group = "torii";
    std::filesystem::path state_directory = "/run/torii/state";
    std::filesystem::path xenstore_directory = "/run/xenstored";  // /var/run is a link to /run
    std::filesystem::path log_directory = "/var/log/torii";
    std::filesystem::path lock_file = "/run/torii/toriid.lock";
    uint64_t console_log_bytes = 1u << 20;
    BackendOptions backends;
    std::string fail_point;
};

class Daemon {
public:
    // Takes over what an earlier daemon left; when this returns, clients are served as soon as run() is.
    // Throws Failure, or std::runtime_error from the store, with a sentence.
    explicit Daemon(const DaemonOptions& options);

    // Until SIGTERM or SIGINT. Guests go on without the daemon.
    void run();

private:
    xenstore::Options store_options(const DaemonOptions& options);
    void connect_own_kernel();
    std::unique_ptr<xenstore::RingChannel> connect_foreign(DomId domain,
                                                           const xenstore::RingLocation& location);

    boost::asio::io_context context_{1};
    FailPointHook fail_point_;
    FileDescriptor lock_;
    Privcmd calls_;
    Hypervisor hypervisor_;
    std::string remark_;  // of the handshake with the hypervisor
    EventChannelDevice channels_;
    StateStore state_;
    xenstore::Service store_;
    BackendFactory back_ends_;
    Devices devices_;
    DomainManager domains_;
    Dispatcher dispatcher_;
    BoundPort domain_events_;
    std::unique_ptr<ControlServer> server_;
    boost::asio::signal_set signals_;
};

}  // namespace torii::dom0
