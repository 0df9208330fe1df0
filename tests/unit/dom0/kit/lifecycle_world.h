#pragma once
// A daemon's domains over a hypervisor, event channels and builders in memory, with the real xenstore and
// state. A killed daemon is an exception at a fail point, and a new manager on the same folder.

#include <gtest/gtest.h>
#include <torii/abi/xenstore_wire.h>
#include <torii/failure.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <thread>

#include "fail_point.h"
#include "lifecycle/domain_manager.h"
#include "lifecycle/uuid.h"
#include "unit/dom0/kit/fake_devices.h"
#include "unit/dom0/kit/fake_hypervisor.h"
#include "unit/dom0/kit/kernel_file.h"

namespace torii::dom0::test {

using namespace std::chrono_literals;

struct Killed {};

// What dies with the daemon.
struct Daemon {
    Daemon(FakeHypervisor& fake, FakeDeviceFactory& device_factory, const std::filesystem::path& folder,
           std::string_view& fail_at)
        : hypervisor(fake),
          state(folder / "state", "boot-1"),
          store(context, store_options(folder,
                                       [this](DomId domain, const std::string& why) {
                                           manager->ring_broken(domain, "its xenstore ring: " + why);
                                       })),
          devices(store.client(), device_factory),
          factory(device_factory) {
        const auto hook = [&fail_at](std::string_view step) {
            if (step == fail_at) throw Killed();
        };
        ManagerOptions options;
        options.log_directory = folder / "log";
        manager = std::make_unique<DomainManager>(
            DomainManager::Parts{context, hypervisor, channels, store, state, devices, hook}, options,
            [this](const v1::BuilderRequest& request, BuilderProcess::Callbacks callbacks) {
                requests.push_back(request);
                builders.push_back(std::move(callbacks));
                if (on_request) boost::asio::post(context, on_request);
                return std::shared_ptr<BuilderProcess>();
            });
        manager->recover();
    }
    static xenstore::Options store_options(const std::filesystem::path& folder,
                                           std::function<void(DomId, const std::string&)> ring_broken) {
        xenstore::Options options;
        options.ring_broken = std::move(ring_broken);
        options.state_directory = folder / "store";
        options.boot_id = "boot-1";
        return options;
    }
    // Handlers and the thread that destroys domains.
    void settle() {
        for (int i = 0; i < 30; i++) {
            context.restart();
            context.poll();
            factory.tell_all_closed();
            std::this_thread::sleep_for(5ms);
        }
    }

    boost::asio::io_context context;
    Hypervisor hypervisor;
    FakeEventChannels channels;
    StateStore state;
    xenstore::Service store;
    Devices devices;
    FakeDeviceFactory& factory;
    std::vector<v1::BuilderRequest> requests;
    std::vector<BuilderProcess::Callbacks> builders;
    std::function<void()> on_request;  // what follows each of them
    std::unique_ptr<DomainManager> manager;
};

class Lifecycle : public ::testing::Test {
protected:
    void SetUp() override { start(); }
    void start() {
        daemon_.reset();
        daemon_ = std::make_unique<Daemon>(fake_, factory_, folder_.path(), fail_at_);
    }
    // As kill -9 and the next start.
    void restart_daemon() {
        fail_at_ = "";
        start();
        daemon_->settle();
    }
    DomainManager& manager() { return *daemon_->manager; }

    static v1::DomainConfig config(const std::string& name) {
        v1::DomainConfig config;
        config.set_name(name);
        config.set_kernel("/kernel");
        config.set_memory_kib(8 << 10);
        config.set_vcpus(1);
        return config;
    }
    struct Told {
        std::optional<v1::Domain> done;
        std::string failure;
    };
    DomainManager::Outcome outcome() {
        told_ = std::make_shared<Told>();
        return {[told = told_](const v1::Domain& domain) { told->done = domain; },
                [told = told_](const Failure& failure) { told->failure = failure.what(); }};
    }
    void ask_create(const v1::DomainConfig& config, bool paused = false) {
        manager().create(config, paused, nullptr, outcome());
    }
    // What the newest builder would do; the domain's number, whether or not the daemon keeps it.
    uint16_t finish_building() {
        const v1::BuilderRequest request = daemon_->requests.back();
        FakeDomain& domain = fake_.add_domain(*parse_uuid(request.uuid()), 4);
        domain.vcpus = request.config().max_vcpus();
        fake_.cpus.domain(domain.id, domain.vcpus);
        v1::BuilderResult result;
        result.set_domid(domain.id);
        result.set_xenstore_frame(domain.frames.at(0));
        result.set_xenstore_port(1);
        result.set_console_frame(domain.frames.at(1));
        result.set_console_port(2);
        const uint16_t id = domain.id;
        daemon_->builders.back().built(result);
        return id;
    }
    FakeDomain& build() { return fake_.domain(finish_building()); }
    FakeDomain& create(const v1::DomainConfig& config, bool paused = false) {
        ask_create(config, paused);
        return build();
    }
    FakeDomain& create(const std::string& name) { return create(config(name)); }
    void destroy(const std::string& name) {
        manager().destroy(name, outcome());
        daemon_->settle();
    }
    void guest_ends(FakeDomain& domain, abi::ShutdownReason reason) {
        domain.shut_down = true;
        domain.shutdown_reason = static_cast<uint32_t>(reason);
        manager().check_domains();
        daemon_->settle();
    }
    abi::XenstoreRing& store_ring(FakeDomain& domain) {
        return *reinterpret_cast<abi::XenstoreRing*>(fake_.frame(domain.frames.at(0)));
    }
    void break_store_ring(FakeDomain& domain) {
        store_ring(domain).req_prod = 5000;
        daemon_->channels.signal(DomId(domain.id), Port(1));
    }
    std::optional<std::string> node(const std::string& path) { return daemon_->store.client().read(path); }
    void expect_nothing_left() {
        EXPECT_TRUE(fake_.domains.empty());
        EXPECT_EQ(fake_.free_frames(), free_before_);
        EXPECT_EQ(fake_.mappings(), 0u);
        EXPECT_TRUE(daemon_->channels.bound.empty());
        EXPECT_TRUE(daemon_->store.client().directory("/vm").value_or(std::vector<std::string>()).empty());
        EXPECT_EQ(daemon_->store.client().directory("/local/domain")->size(), 1u);
        for (const char* type : {"torii-vbd", "torii-vif"}) {
            const std::string path = std::string("/local/domain/0/backend/") + type;
            EXPECT_TRUE(daemon_->store.client().directory(path).value_or(std::vector<std::string>()).empty());
        }
        EXPECT_TRUE(factory_.devices.empty());
        EXPECT_TRUE(factory_.left_behind.empty());
    }

    TemporaryFolder folder_;
    FakeHypervisor fake_;
    FakeDeviceFactory factory_;
    std::string_view fail_at_;
    uint64_t free_before_ = fake_.free_frames();
    std::unique_ptr<Daemon> daemon_;
    std::shared_ptr<Told> told_;
};

}  // namespace torii::dom0::test
