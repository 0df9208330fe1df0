// The part of DomainManager that gives devices to guests that run, and takes them away.

#include <algorithm>

#include "devices/device_config.h"
#include "lifecycle/domain_manager.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

template <typename Devices>
void remove_named(Devices* devices, const std::string& device) {
    const auto named = [&](const auto& each) { return each.device() == device; };
    devices->erase(std::remove_if(devices->begin(), devices->end(), named), devices->end());
}

void remove_device(v1::DomainRecord& record, const std::string& device) {
    remove_named(record.mutable_config()->mutable_disks(), device);
    remove_named(record.mutable_config()->mutable_nets(), device);
    auto* detaching = record.mutable_detaching();
    detaching->erase(std::remove(detaching->begin(), detaching->end(), device), detaching->end());
}

}  // namespace

// The record has the device already: a daemon that is killed on the way is followed by one that finishes
// this.
v1::Device DomainManager::begin_attach(Managed& managed, const std::string& device,
                                       const std::function<void()>& begin) {
    save(managed);
    parts_.fail_point("attach.recorded");
    try {
        begin();
    } catch (const Failure&) {
        remove_device(managed.record, device);
        save(managed);
        throw;
    }
    parts_.fail_point("attach.begun");
    log_info("{} (domain {}) gets {}", managed.name(), managed.record.domid(), device);
    return parts_.devices.describe(managed.domain(), device);
}

v1::Device DomainManager::attach(const std::string& key, v1::Disk disk) {
    Managed& managed = find_live(key, "attach a disk to");
    check_new_disk(managed.record.config(), disk);
    *managed.record.mutable_config()->add_disks() = disk;
    return begin_attach(managed, disk.device(), [&] { parts_.devices.attach(managed.record, disk); });
}

v1::Device DomainManager::attach(const std::string& key, v1::Net net) {
    Managed& managed = find_live(key, "attach a network interface to");
    check_new_net(managed.record.config(), net);
    *managed.record.mutable_config()->add_nets() = net;
    return begin_attach(managed, net.device(), [&] { parts_.devices.attach(managed.record, net); });
}

void DomainManager::detach(const std::string& key, const std::string& device, bool force, Detached done) {
    Managed& managed = find_live(key, "detach a device of");
    (void)parts_.devices.describe(managed.domain(), device);  // throws if there is none
    auto* detaching = managed.record.mutable_detaching();
    if (std::find(detaching->begin(), detaching->end(), device) == detaching->end()) {
        *detaching->Add() = device;
        save(managed);
        parts_.fail_point("detach.recorded");
    }
    const std::string uuid = managed.uuid();
    parts_.devices.detach(managed.domain(), device, force,
                          [this, uuid, device, done = std::move(done)](const std::string& problem) {
                              detached(uuid, device);
                              done(problem);
                          });
}

void DomainManager::detached(const std::string& uuid, const std::string& device) {
    parts_.fail_point("detach.closed");
    Managed* managed = by_uuid(uuid);
    if (managed == nullptr) return;
    remove_device(managed->record, device);
    save(*managed);
    log_info("{} (domain {}) has no {} any more", managed->name(), managed->record.domid(), device);
}

void DomainManager::resize(const std::string& key, const std::string& device,
                           std::function<void(const std::string& problem, const v1::Device& device)> done) {
    const DomId domain = find_live(key, "resize a disk of").domain();
    const auto resized = [this, domain, device, done = std::move(done)](const std::string& problem) {
        if (!problem.empty()) return done(problem, {});
        v1::Device now;
        try {
            now = parts_.devices.describe(domain, device);
        } catch (const Failure& failure) {
            return done(failure.what(), {});  // it has been detached since
        }
        done({}, now);
    };
    parts_.devices.resize(domain, device, resized);
}

v1::DomainDevices DomainManager::devices(const std::string& key) {
    const Managed& managed = find(key);
    v1::DomainDevices all;
    if (managed.record.phase() == v1::PHASE_LIVE) all = parts_.devices.describe(managed.domain());
    all.set_name(managed.name());
    all.set_domid(managed.record.domid());
    return all;
}

std::vector<v1::DomainDevices> DomainManager::devices() {
    std::vector<v1::DomainDevices> all;
    for (const auto& [uuid, managed] : domains_) {
        if (managed->record.phase() == v1::PHASE_LIVE) all.push_back(devices(uuid));
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.domid() < b.domid(); });
    return all;
}

// The guest starts again, without what was being taken from it when it ended.
void DomainManager::drop_detaching(v1::DomainRecord& record) {
    const auto unwanted = record.detaching();
    for (const std::string& device : unwanted)
        remove_device(record, device);
}

void DomainManager::recover_devices(Managed& managed) {
    parts_.devices.resume(managed.record);
    const auto unwanted = managed.record.detaching();
    for (const std::string& device : unwanted) {
        try {
            parts_.devices.detach(
                managed.domain(), device, false,
                [this, uuid = managed.uuid(), device](const std::string&) { detached(uuid, device); });
        } catch (const Failure&) {
            detached(managed.uuid(), device);  // gone before
        }
    }
}

}  // namespace torii::dom0
