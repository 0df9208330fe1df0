#include "daemon.h"

#include <fcntl.h>
#include <sys/file.h>
#include <torii/failure.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>

#include "lifecycle/store_ring.h"
#include "log/log.h"
#include "supervisor.h"
#include "xen/handshake.h"
#include "xen/xenbus_backend.h"

namespace torii::dom0 {
namespace {

// Two daemons would both answer the same rings.
FileDescriptor take_lock(const std::filesystem::path& path) {
    std::error_code ignored;
    std::filesystem::create_directories(path.parent_path(), ignored);
    FileDescriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock.valid()) {
        throw Failure(ErrorCode::kSystem,
                      fmt::format("cannot make the lock file {}: {}. toriid must run as root", path.string(),
                                  std::strerror(errno)));
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        throw Failure(ErrorCode::kResourceBusy,
                      "another toriid is running (it holds " + path.string() + "): stop that one first");
    }
    return lock;
}

LogLevel to_level(xenstore::LogSeverity severity) {
    switch (severity) {
        case xenstore::LogSeverity::kDebug:
            return LogLevel::kDebug;
        case xenstore::LogSeverity::kInfo:
            return LogLevel::kInfo;
        case xenstore::LogSeverity::kWarning:
            return LogLevel::kWarning;
        case xenstore::LogSeverity::kError:
            return LogLevel::kError;
    }
    return LogLevel::kInfo;
}

ManagerOptions manager_options(const DaemonOptions& options) {
    return {options.log_directory, options.console_log_bytes, options.fail_point};
}

}  // namespace

Daemon::Daemon(const DaemonOptions& options)
    : fail_point_(make_fail_point_hook(options.fail_point, ::getpid())),
      lock_(take_lock(options.lock_file)),
      hypervisor_(calls_),
      remark_(shake_hands(hypervisor_, TORII_REVISION)),
      channels_(context_),
      state_(options.state_directory, read_boot_id()),
      store_(context_, store_options(options)),
      back_ends_(context_, store_.client(), calls_, options.backends, fail_point_),
      devices_(store_.client(), back_ends_),
      domains_({context_, hypervisor_, channels_, store_, state_, devices_, fail_point_},
               manager_options(options),
               [this, fail_point = options.fail_point](const v1::BuilderRequest& request,
                                                       BuilderProcess::Callbacks callbacks) {
                   return BuilderProcess::start(context_, request, fail_point, std::move(callbacks));
               }),
      dispatcher_(domains_, hypervisor_, store_, remark_),
      signals_(context_, SIGTERM, SIGINT) {
    ::signal(SIGPIPE, SIG_IGN);
    connect_own_kernel();
    domain_events_ =
        BoundPort(channels_, channels_.bind_virq(abi::Virq::kDomExc, [this] { domains_.check_domains(); }));
    domains_.recover();
    store_.listen();
    FileDescriptor inherited = inherited_socket(options.socket);
    server_ = inherited.valid()
                  ? std::make_unique<ControlServer>(context_, dispatcher_, std::move(inherited))
                  : std::make_unique<ControlServer>(context_, dispatcher_, options.socket, options.group);
    signals_.async_wait([this](const boost::system::error_code& error, int signal) {
        if (error) return;
        log_info("signal {}: the daemon ends; guests go on", signal);
        tell_supervisor("STOPPING=1");
        context_.stop();
    });
    const VersionInfo version = hypervisor_.version();
    log_info("ready: hypervisor {}, control socket {}", version.version, options.socket.string());
    if (!remark_.empty()) log_warning("{}", remark_);
    tell_supervisor("READY=1");
}

xenstore::Options Daemon::store_options(const DaemonOptions& options) {
    xenstore::Options store;
    store.state_directory = options.state_directory / "xenstore";
    store.boot_id = read_boot_id();
    store.socket_directory = options.xenstore_directory;
    store.fail_point = fail_point_;
    store.connect_domain = [this](DomId domain, const xenstore::RingLocation& location) {
        return connect_foreign(domain, location);
    };
    store.ring_broken = [this](DomId domain, const std::string& why) {
        domains_.ring_broken(domain, "its xenstore ring: " + why);
    };
    store.log = [](xenstore::LogSeverity severity, std::string_view line) {
        if (log_enabled(to_level(severity))) write_log_line(to_level(severity), line);
    };
    return store;
}

void Daemon::connect_own_kernel() {
    KernelStoreRing ring = open_kernel_store_ring();
    const auto signalled = [this] { store_.ring_signalled(kDom0); };
    BoundPort port(channels_, channels_.bind_interdomain(kDom0, ring.port, signalled));
    auto channel = std::make_unique<StoreRing>(std::move(ring.page), std::move(port));
    for (const auto& restored : store_.restored_domains()) {
        if (restored.domain != kDom0) continue;
        store_.resume(kDom0, std::move(channel));
        return;
    }
    store_.introduce(kDom0, {0, ring.port.raw()}, std::move(channel));
}

std::unique_ptr<xenstore::RingChannel> Daemon::connect_foreign(DomId domain,
                                                               const xenstore::RingLocation& location) {
    try {
        const uint64_t frame = location.frame;
        ForeignMapping page = calls_.map_frames(domain, std::span(&frame, 1));
        const auto signalled = [this, domain] { store_.ring_signalled(domain); };
        BoundPort port(channels_, channels_.bind_interdomain(domain, Port(location.port), signalled));
        return std::make_unique<StoreRing>(std::move(page), std::move(port));
    } catch (const Failure& failure) {
        log_warning("domain {} cannot be introduced to xenstore: {}", domain.raw(), failure.what());
        return nullptr;
    }
}

void Daemon::run() {
    while (true) {
        try {
            context_.run();
            return;
        } catch (const std::exception& problem) {
            // One handler's failure must not end the service for all guests.
            log_error("unexpected: {}", problem.what());
        }
    }
}

}  // namespace torii::dom0
