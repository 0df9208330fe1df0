#pragma once
// Everything that happens to domains: created, watched, ended, found again after a restart of the daemon.
//
// The life of a record (its `phase`, on disk before the step that it announces):
//     BUILDING   a builder process works, or the daemon connects what it built
//     LIVE       complete; the guest decides what happens
//     ENDING     to be destroyed; stays until the hypervisor does not list the domain any more
//     ENDED      gone; kept to tell why, until its name is used again
// All on the event loop's thread, except the hypervisor's destroy call, which may take long.

#include <torii/failure.h>
#include <torii/v1/internal.pb.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "builder/builder_process.h"
#include "cpus/pools.h"
#include "devices/devices.h"
#include "fail_point.h"
#include "lifecycle/console_connection.h"
#include "lifecycle/domain_view.h"
#include "lifecycle/store_nodes.h"
#include "lifecycle/store_ring.h"
#include "state/state_store.h"
#include "xen/event_channels.h"
#include "xen/hypervisor.h"
#include "xenstore/service.h"

namespace torii::dom0 {

struct ManagerOptions {
    std::filesystem::path log_directory = "/var/log/torii";
    uint64_t console_log_bytes = 1u << 20;
    std::string fail_point;  // handed to builder processes
};

class DomainManager {
public:
    struct Parts {
        boost::asio::io_context& context;
        Hypervisor& hypervisor;
        EventChannels& channels;
        xenstore::Service& store;
        StateStore& state;
        Devices& devices;
        FailPointHook fail_point;
    };
    // Starts the building of a domain; replaced by tests.
    using BuilderStarter =
        std::function<std::shared_ptr<BuilderProcess>(const v1::BuilderRequest&, BuilderProcess::Callbacks)>;

    // Exactly one call ends an operation.
    struct Outcome {
        std::function<void(const v1::Domain&)> done;
        std::function<void(const Failure&)> failed;
    };

    DomainManager(Parts parts, ManagerOptions options, BuilderStarter start_builder);
    ~DomainManager();

    // Finds all domains again, goes on with what was begun, undoes what was half done. Call it once, before
    // clients.
    void recover();

    // --- What clients ask. All throw Failure for what cannot be done.
    // Returns the new domain's UUID, by which cancel_creation() knows it.
    std::string create(v1::DomainConfig config, bool paused, ProgressCallback progress, Outcome outcome);
    void cancel_creation(const std::string& uuid);
    std::vector<v1::Domain> list();
    v1::Domain info(const std::string& key);
    void pause(const std::string& key);
    void unpause(const std::string& key);
    // With `for_good` it is destroyed however it ends, whatever its description says.
    void request_shutdown(const std::string& key, bool reboot, bool for_good = false);
    // `outcome` when the domain is gone, or is dying and held by others.
    void destroy(const std::string& key, Outcome outcome);
    void rename(const std::string& key, const std::string& name);
    void set_memory(const std::string& key, uint64_t kib);
    ConsoleConnection& console(const std::string& key);
    std::string console_log(const std::string& key, size_t limit);

    // --- For what concerns domains that the hypervisor knows, whoever made them (present.cpp)
    struct Present {
        DomainInfo info;
        v1::Domain view;
        bool ours = false;
    };
    // Neither half-built nor dying ones.
    std::vector<Present> present();
    // `verb` completes "cannot ... web1". Throws Failure when there is none, or not in such a state.
    Present present(const std::string& key, const char* verb);
    // Changes what a guest of ours is given again when it reboots.
    void keep(const Present& present, const std::function<void(v1::DomainRecord&)>& change);
    // Tells its kernel how many of its vCPUs are to be online.
    void set_vcpus(const Present& present, uint32_t count);

    // --- Devices of guests that run (devices.cpp). The guest has them again when it reboots.
    using Detached = std::function<void(const std::string& problem)>;
    // Both return the device as it is at its beginning.
    v1::Device attach(const std::string& key, v1::Disk disk);
    v1::Device attach(const std::string& key, v1::Net net);
    // `done` when it is gone. Without `force` the guest is asked; a second call hastens the first.
    void detach(const std::string& key, const std::string& device, bool force, Detached done);
    // `done` with the device as it is then.
    void resize(const std::string& key, const std::string& device,
                std::function<void(const std::string& problem, const v1::Device& device)> done);
    v1::DomainDevices devices(const std::string& key);
    std::vector<v1::DomainDevices> devices();

    // The hypervisor has signalled that some domain's state changed.
    void check_domains();
    Pools& pools() { return pools_; }
    // The domain has left a ring in a state that no working guest leaves it in: it is treated as crashed.
    // `why` is a sentence about the ring. Of others' domains only the log speaks.
    void ring_broken(DomId domain, const std::string& why);

private:
    struct Managed {
        v1::DomainRecord record;
        std::shared_ptr<BuilderProcess> builder;  // while building
        unsigned building_percent = 0;
        ProgressCallback progress;
        std::optional<Outcome> creation;
        std::unique_ptr<ConsoleConnection> console;
        std::vector<Outcome> waiting_for_end;
        bool killed = false;  // the hypervisor has been told to destroy it
        std::chrono::steady_clock::time_point killed_at;

        DomId domain() const { return DomId(static_cast<uint16_t>(record.domid())); }
        const std::string& name() const { return record.config().name(); }
        const std::string& uuid() const { return record.config().uuid(); }
    };
    using Infos = std::vector<DomainInfo>;

    // --- domain_manager.cpp
    Managed& find(const std::string& key);
    Managed& find_live(const std::string& key, const char* what);
    Managed* by_uuid(const std::string& uuid);
    std::optional<DomainInfo> info_of(const Managed& managed, const Infos& infos) const;
    v1::Domain view(const Managed& managed, const std::optional<DomainInfo>& info) const;
    void save(const Managed& managed) { parts_.state.save(managed.record); }
    void forget(const std::string& uuid);

    // --- creation.cpp
    void check_name_free(const std::string& name);
    void check_memory_free(const v1::DomainConfig& config);
    void start_builders();
    void on_built(const std::string& uuid, const v1::BuilderResult& result);
    void on_build_failed(const std::string& uuid, const Failure& failure);
    void connect(Managed& managed);
    void connect_console(Managed& managed, bool fresh_log);
    std::unique_ptr<StoreRing> map_store_ring(DomId domain, Mfn frame, Port port);
    void abandon_creation(Managed& managed, const Failure& failure);

    // --- ending.cpp
    void handle_end(Managed& managed, const DomainInfo& info);
    std::string why_killed(DomId domain);
    void end_as(Managed& managed, abi::ShutdownReason reason, const EndOfLife& end);
    void begin_end(Managed& managed, v1::Afterwards afterwards, const EndOfLife& end);
    static void set_end(v1::DomainRecord& record, const EndOfLife& end);
    void remember_end(Managed& managed, const EndOfLife& end);
    void kill(Managed& managed);
    void on_killed(const std::string& uuid);
    void check_ending();
    void finish_end(const std::string& uuid);
    void restart(Managed& managed);
    void arm_timer();
    void trim_ended();

    // --- recovery.cpp
    void recover_record(Managed& managed, const std::optional<DomainInfo>& info);
    void recover_half_built(Managed& managed, const std::optional<DomainInfo>& info);
    void recover_live(Managed& managed, const DomainInfo& info);
    void release_unknown_rings(const Infos& infos);

    // --- devices.cpp
    v1::Device begin_attach(Managed& managed, const std::string& device, const std::function<void()>& begin);
    void detached(const std::string& uuid, const std::string& device);
    void recover_devices(Managed& managed);
    static void drop_detaching(v1::DomainRecord& record);

    Parts parts_;
    ManagerOptions options_;
    BuilderStarter start_builder_;
    StoreNodes nodes_;
    Pools pools_;
    std::map<std::string, std::unique_ptr<Managed>> domains_;  // by UUID
    std::deque<std::string> build_queue_;                      // UUIDs
    unsigned builders_ = 0;
    boost::asio::steady_timer timer_;
    bool timer_armed_ = false;
    boost::asio::thread_pool slow_calls_{1};
};

}  // namespace torii::dom0
