// Devices of guests: with them from the start, attached, detached, over restarts of guest and daemon.

#include <gtest/gtest.h>

#include "devices/device_config.h"
#include "log/log.h"
#include "unit/dom0/kit/lifecycle_world.h"

namespace torii::dom0 {
namespace {

using test::FakeDomain;
using test::Killed;
using test::Lifecycle;

class DevicesTest : public Lifecycle {
protected:
    static v1::Disk disk(const std::string& device, const std::string& source = "/disk.raw") {
        v1::Disk disk;
        disk.set_device(device);
        disk.set_source(source);
        return disk;
    }
    static v1::DomainConfig with_devices(const std::string& name) {
        v1::DomainConfig wanted = config(name);
        *wanted.add_disks() = disk("");
        *wanted.add_disks() = disk("xvda", "/first.raw");
        wanted.add_nets();
        return wanted;
    }
    static std::string backend(const FakeDomain& domain, const std::string& device) {
        return device.starts_with("xvd")
                   ? fmt::format("/local/domain/0/backend/torii-vbd/{}/{}", domain.id, disk_number(device))
                   : fmt::format("/local/domain/0/backend/torii-vif/{}/{}", domain.id, net_number(device));
    }
    std::vector<std::string> devices_of(const std::string& name) {
        std::vector<std::string> names;
        const v1::DomainDevices all = manager().devices(name);
        for (const v1::Device& device : all.devices())
            names.push_back(device.has_disk() ? device.disk().device() : device.net().device());
        return names;
    }
    // Detaches, and says what was told: nothing yet, "" or a sentence.
    std::shared_ptr<std::optional<std::string>> detach(const std::string& name, const std::string& device,
                                                       bool force = false) {
        auto told = std::make_shared<std::optional<std::string>>();
        manager().detach(name, device, force, [told](const std::string& problem) { *told = problem; });
        return told;
    }
    // The size that is told, or a sentence.
    std::string resize(const std::string& name, const std::string& device) {
        std::string told;
        manager().resize(name, device, [&](const std::string& problem, const v1::Device& now) {
            told = problem.empty() ? std::to_string(now.size_bytes()) : problem;
        });
        return told;
    }
    void expect_refused(const std::function<void()>& action, const std::string& part) {
        try {
            action();
            ADD_FAILURE() << "not refused: " << part;
        } catch (const Failure& failure) {
            EXPECT_NE(std::string(failure.what()).find(part), std::string::npos) << failure.what();
        }
    }
};

TEST_F(DevicesTest, NumbersAreXens) {
    EXPECT_EQ(disk_number("xvda"), 51712u);
    EXPECT_EQ(disk_number("xvdp"), 51712u + 15 * 16);
    EXPECT_EQ(disk_number("xvdq"), (1u << 28) | 16 << 8);
    EXPECT_EQ(net_number("eth31"), 31u);
    for (const char* bad : {"", "xvd", "xvdA", "xvdaa", "sda", "eth", "eth32", "eth1x", "eth-1"}) {
        EXPECT_THROW(disk_number(bad), Failure) << bad;
        EXPECT_THROW(net_number(bad), Failure) << bad;
    }
}

TEST_F(DevicesTest, DescriptionsAreCompletedAndChecked) {
    v1::DomainConfig wanted = with_devices("g1");
    wanted.set_uuid("11111111-2222-3333-4444-555555555555");
    check_devices(wanted);
    EXPECT_EQ(wanted.disks(0).device(), "xvda");
    EXPECT_EQ(wanted.disks(1).device(), "xvdb");
    EXPECT_EQ(wanted.disks(1).format(), "raw");
    EXPECT_EQ(wanted.disks(1).sector_size(), 512u);
    EXPECT_EQ(wanted.nets(0).device(), "eth0");
    EXPECT_EQ(wanted.nets(0).attachment(), "nat");
    EXPECT_EQ(wanted.nets(0).mtu(), 1500u);
    EXPECT_EQ(wanted.nets(0).mac().substr(0, 9), "00:16:3e:");
    const auto refused = [&](auto change, const char* part) {
        v1::DomainConfig bad = wanted;
        change(*bad.mutable_disks(0));
        expect_refused([&] { check_devices(bad); }, part);
    };
    refused([](v1::Disk& disk) { disk.set_device("xvdb"); }, "already");
    refused([](v1::Disk& disk) { disk.set_source(""); }, "needs a source");
    refused([](v1::Disk& disk) { disk.set_source("disk.raw"); }, "must be absolute");
    refused([](v1::Disk& disk) { disk.set_format("raw,x=y"); }, "no format");
    refused([](v1::Disk& disk) { disk.set_sector_size(1024); }, "512 or 4096");
    refused([](v1::Disk& disk) { disk.mutable_bytes()->set_burst(1); }, "burst");
    const auto net_refused = [&](auto change, const char* part) {
        v1::DomainConfig bad = wanted;
        change(*bad.mutable_nets(0));
        expect_refused([&] { check_devices(bad); }, part);
    };
    net_refused([](v1::Net& net) { net.set_attachment("wire"); }, "wire");
    net_refused([](v1::Net& net) { net.set_attachment("bridge="); }, "bridge");
    net_refused([](v1::Net& net) { net.set_mac("01:00:00:00:00:01"); }, "01:00:00:00:00:01");
    net_refused([](v1::Net& net) { net.set_mtu(12); }, "12");
    net_refused([](v1::Net& net) { net.add_forwards("tcp:1"); }, "tcp:1");
    net_refused([](v1::Net& net) { net.add_addresses("here"); }, "here");
}

TEST_F(DevicesTest, AGuestStartsWithItsDevicesAndTakesThemAlong) {
    FakeDomain& domain = create(with_devices("g1"));
    ASSERT_TRUE(told_->done) << told_->failure;
    EXPECT_EQ(devices_of("g1"), (std::vector<std::string>{"eth0", "xvda", "xvdb"}));
    const std::string front = fmt::format("/local/domain/{}/device/vbd/51712", domain.id);
    EXPECT_EQ(node(front + "/backend"), backend(domain, "xvda"));
    EXPECT_EQ(node(front + "/virtual-device"), "51712");
    EXPECT_EQ(node(front + "/state"), "1");
    EXPECT_EQ(node(backend(domain, "xvda") + "/frontend"), front);
    EXPECT_EQ(node(backend(domain, "eth0") + "/mac"),
              node(fmt::format("/local/domain/{}/device/vif/0/mac", domain.id)));
    // The guest may write in its own directory, and only read the other.
    const auto owner = [&](const std::string& path) {
        return daemon_->store.client().permissions(path)->front().domain;
    };
    EXPECT_EQ(owner(front), DomId(domain.id));
    EXPECT_EQ(owner(front + "/state"), DomId(domain.id));
    EXPECT_EQ(owner(backend(domain, "xvda") + "/state"), kDom0);
    destroy("g1");
    expect_nothing_left();
}

TEST_F(DevicesTest, ADiskThatIsNotThereFailsTheCreation) {
    v1::DomainConfig wanted = with_devices("g1");
    *wanted.add_disks() = disk("xvdz", "/missing");
    ask_create(wanted);
    finish_building();
    daemon_->settle();
    EXPECT_NE(told_->failure.find("/missing"), std::string::npos) << told_->failure;
    expect_nothing_left();
}

TEST_F(DevicesTest, DevicesAreAttachedAndDetached) {
    FakeDomain& domain = create("g1");
    EXPECT_EQ(manager().attach("g1", disk("")).disk().device(), "xvda");
    EXPECT_EQ(manager().attach("g1", v1::Net()).net().device(), "eth0");
    EXPECT_THROW(manager().attach("g1", disk("xvda")), Failure);
    EXPECT_THROW(manager().attach("g1", disk("xvdc", "/missing")), Failure);
    EXPECT_EQ(devices_of("g1"), (std::vector<std::string>{"eth0", "xvda"}));
    EXPECT_EQ(resize("g1", "xvda"), std::to_string(2u << 20));
    factory_.resize_problem = "its image is smaller";
    EXPECT_EQ(resize("g1", "xvda"), "its image is smaller");
    expect_refused([&] { resize("g1", "xvdq"); }, "it has eth0, xvda");
    const auto told = detach("g1", "xvda");
    EXPECT_FALSE(factory_.devices.at(backend(domain, "xvda"))->forced);
    EXPECT_FALSE(*told);
    expect_refused([&] { manager().attach("g1", disk("xvda")); }, "already");
    const auto again = detach("g1", "xvda", true);
    EXPECT_TRUE(factory_.devices.at(backend(domain, "xvda"))->forced);
    daemon_->settle();
    EXPECT_EQ(*told, "");
    EXPECT_EQ(*again, "");
    EXPECT_EQ(devices_of("g1"), std::vector<std::string>{"eth0"});
    EXPECT_EQ(node(backend(domain, "xvda") + "/state"), std::nullopt);
    EXPECT_EQ(manager().info("g1").config().disks_size(), 0);
    destroy("g1");
    expect_nothing_left();
}

TEST_F(DevicesTest, WhatFailsByItselfStaysWithItsReason) {
    FakeDomain& domain = create(with_devices("g1"));
    factory_.tell_closed(backend(domain, "xvda"), "another guest has the image");
    const v1::DomainDevices all = manager().devices("g1");
    EXPECT_EQ(all.devices(1).state(), "failed");
    EXPECT_EQ(all.devices(1).problem(), "another guest has the image");
    EXPECT_THROW(resize("g1", "xvda"), Failure);
    const auto told = detach("g1", "xvda");
    EXPECT_EQ(*told, "") << "that is what was asked for";
    EXPECT_EQ(devices_of("g1"), (std::vector<std::string>{"eth0", "xvdb"}));
}

TEST_F(DevicesTest, ARebootKeepsWhatIsAttachedAndNotWhatIsBeingDetached) {
    FakeDomain& domain = create(with_devices("g1"));
    manager().attach("g1", disk("xvdc"));
    detach("g1", "xvdb");
    daemon_->settle();
    EXPECT_EQ(devices_of("g1").size(), 4u);  // the guest does not answer
    guest_ends(domain, abi::ShutdownReason::kReboot);
    EXPECT_TRUE(factory_.devices.empty());
    build();
    EXPECT_EQ(devices_of("g1"), (std::vector<std::string>{"eth0", "xvda", "xvdc"}));
}

TEST_F(DevicesTest, TheNextDaemonTakesDevicesOver) {
    FakeDomain& domain = create(with_devices("g1"));
    daemon_->store.client().write(backend(domain, "xvda") + "/state", "4");
    restart_daemon();
    EXPECT_EQ(devices_of("g1"), (std::vector<std::string>{"eth0", "xvda", "xvdb"}));
    EXPECT_EQ(node(backend(domain, "xvda") + "/state"), "4");  // not begun anew
    destroy("g1");
    expect_nothing_left();
}

TEST_F(DevicesTest, ADiskThatIsGoneMeanwhileDoesNotKeepTheDaemonFromStarting) {
    create(with_devices("g1"));
    factory_.missing = "/first.raw";
    restart_daemon();
    const v1::DomainDevices all = manager().devices("g1");
    EXPECT_EQ(all.devices(1).state(), "failed");
    EXPECT_NE(all.devices(1).problem().find("/first.raw"), std::string::npos);
    EXPECT_EQ(all.devices(2).state(), "connected");
    destroy("g1");
    expect_nothing_left();
}

TEST_F(DevicesTest, NothingIsLeftOfGuestsThatVanishMeanwhile) {
    const uint16_t id = create(with_devices("g1")).id;
    daemon_.reset();
    Hypervisor(fake_).destroy(DomId(id));
    restart_daemon();
    expect_nothing_left();
}

TEST_F(DevicesTest, KilledAtEachStepOfAttachingAndDetaching) {
    for (const char* step : {"attach.recorded", "attach.begun", "detach.recorded", "detach.closed"}) {
        SCOPED_TRACE(step);
        FakeDomain& domain = create(with_devices("g1"));
        fail_at_ = step;
        bool killed = false;
        try {
            manager().attach("g1", disk("xvdc"));
            detach("g1", "xvdb", true);
            daemon_->settle();
        } catch (const Killed&) {
            killed = true;
        }
        EXPECT_TRUE(killed);
        restart_daemon();
        // What was to be detached is asked of the guest again, which answers now.
        for (const auto& [path, device] : std::map(factory_.devices)) {
            if (device->closing) factory_.tell_closed(path);
        }
        const bool detached = std::string_view(step).starts_with("detach");
        EXPECT_EQ(devices_of("g1"), detached ? (std::vector<std::string>{"eth0", "xvda", "xvdc"})
                                             : (std::vector<std::string>{"eth0", "xvda", "xvdb", "xvdc"}));
        EXPECT_NE(node(backend(domain, "xvdc") + "/state"), std::nullopt);
        destroy("g1");
        expect_nothing_left();
    }
}

}  // namespace
}  // namespace torii::dom0
