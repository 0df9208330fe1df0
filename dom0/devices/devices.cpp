#include "devices/devices.h"

#include <torii/abi/io/xenbus_state.h>
#include <torii/failure.h>

#include <algorithm>
#include <charconv>

#include "devices/device_config.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

using xenstore::Access;
using xenstore::LocalAccess;
using xenstore::Permissions;

constexpr const char* kBackends = "/local/domain/0/backend";
constexpr const char* kDiskBackend = "torii-vbd";
constexpr const char* kNetBackend = "torii-vif";

std::string frontend_directory(DomId domain, const char* type) {
    return fmt::format("/local/domain/{}/device/{}", domain.raw(), type);
}

DevicePlace place_of(DomId domain, const std::string& name, const v1::Device& description) {
    const bool disk = description.has_disk();
    DevicePlace place;
    place.domain = domain;
    place.domain_name = name;
    place.device = disk ? description.disk().device() : description.net().device();
    place.number = disk ? disk_number(place.device) : net_number(place.device);
    place.backend_path =
        fmt::format("{}/{}/{}/{}", kBackends, disk ? kDiskBackend : kNetBackend, domain.raw(), place.number);
    place.frontend_path =
        fmt::format("{}/{}", frontend_directory(domain, disk ? "vbd" : "vif"), place.number);
    return place;
}

std::vector<v1::Device> devices_of(const v1::DomainConfig& config) {
    std::vector<v1::Device> all;
    for (const v1::Disk& disk : config.disks())
        *all.emplace_back().mutable_disk() = disk;
    for (const v1::Net& net : config.nets())
        *all.emplace_back().mutable_net() = net;
    return all;
}

DomId domain_of(const v1::DomainRecord& record) {
    return DomId(static_cast<uint16_t>(record.domid()));
}

}  // namespace

// What the front and back end find each other by (public io/xenbus.h, io/blkif.h, io/netif.h). The front
// end's directory is the guest's: whatever it makes of it, the back end's own nodes count.
void Devices::write_nodes(const Attached& attached) {
    const DevicePlace& place = attached.place;
    const Permissions ours{{kDom0, Access::kNone}, {place.domain, Access::kRead}};
    const Permissions theirs{{place.domain, Access::kNone}, {kDom0, Access::kRead}};
    const std::string initialising = std::to_string(static_cast<unsigned>(abi::XenbusState::kInitialising));
    store_.transaction([&](LocalAccess& store) {
        const auto make = [&](const std::string& path, const Permissions& permissions,
                              std::initializer_list<std::pair<const char*, std::string>> nodes) {
            store.remove(path);
            store.make_directory(path);
            store.set_permissions(path, permissions);
            for (const auto& [name, value] : nodes) {
                store.write(path + "/" + name, value);
                store.set_permissions(path + "/" + name, permissions);
            }
        };
        make(place.backend_path, ours,
             {{"frontend", place.frontend_path},
              {"frontend-id", std::to_string(place.domain.raw())},
              {"online", "1"},
              {"state", initialising}});
        make(place.frontend_path, theirs,
             {{"backend", place.backend_path}, {"backend-id", "0"}, {"state", initialising}});
        const auto add = [&](const std::string& path, const Permissions& permissions,
                             const std::string& value) {
            store.write(path, value);
            store.set_permissions(path, permissions);
        };
        const std::string handle = std::to_string(place.number);
        if (attached.description.has_disk()) {
            add(place.frontend_path + "/virtual-device", theirs, handle);
            add(place.frontend_path + "/device-type", theirs,
                attached.description.disk().cdrom() ? "cdrom" : "disk");
            add(place.backend_path + "/dev", ours, place.device);
        } else {
            const std::string& mac = attached.description.net().mac();
            for (const auto& [path, permissions] :
                 {std::pair(place.frontend_path, theirs), std::pair(place.backend_path, ours)}) {
                add(path + "/handle", permissions, handle);
                add(path + "/mac", permissions, mac);
            }
            add(place.frontend_path + "/mtu", theirs, std::to_string(attached.description.net().mtu()));
        }
    });
}

void Devices::remove_nodes(const Attached& attached) {
    store_.transaction([&](LocalAccess& store) {
        store.remove(attached.place.backend_path);
        store.remove(attached.place.frontend_path);
        // A directory of a domain's devices goes with the last of them.
        const std::string directory =
            attached.place.backend_path.substr(0, attached.place.backend_path.rfind('/'));
        const auto left = store.directory(directory);
        if (left && left->empty()) store.remove(directory);
    });
}

std::unique_ptr<GuestDevice> Devices::make(const Attached& attached, GuestDevice::Events events) {
    return attached.description.has_disk()
               ? factory_.make_disk(attached.place, attached.description.disk(), std::move(events))
               : factory_.make_net(attached.place, attached.description.net(), std::move(events));
}

void Devices::begin(const v1::DomainRecord& record, v1::Device description, Nodes nodes) {
    Attached attached;
    attached.place = place_of(domain_of(record), record.config().name(), description);
    attached.description = std::move(description);
    const Key key(attached.place.domain, attached.place.device);
    if (attached_.contains(key)) {
        throw Failure(ErrorCode::kResourceBusy,
                      fmt::format("{} of {} is still being detached: wait, or detach it with --force",
                                  key.second, record.config().name()));
    }
    if (nodes == Nodes::kWrite) {
        factory_.clean_up(attached.place);
        write_nodes(attached);
    }
    GuestDevice::Events events;
    events.closed = [this, key, alive = std::weak_ptr<bool>(alive_)](const std::string& problem) {
        if (!alive.expired()) closed(key, problem);
    };
    try {
        attached.device = make(attached, std::move(events));
    } catch (const Failure&) {
        if (nodes == Nodes::kWrite) remove_nodes(attached);
        throw;
    }
    attached_.emplace(key, std::move(attached));
}

void Devices::start(const v1::DomainRecord& record) {
    try {
        for (v1::Device& description : devices_of(record.config()))
            begin(record, std::move(description), Nodes::kWrite);
    } catch (const Failure&) {
        stop(domain_of(record));
        throw;
    }
}

void Devices::resume(const v1::DomainRecord& record) {
    for (v1::Device& description : devices_of(record.config())) {
        Attached failed;
        failed.place = place_of(domain_of(record), record.config().name(), description);
        failed.description = description;
        // It was being attached when the daemon died.
        const bool announced = store_.exists(failed.place.backend_path);
        const auto& detaching = record.detaching();
        const bool unwanted =
            std::find(detaching.begin(), detaching.end(), failed.place.device) != detaching.end();
        if (unwanted && !announced) continue;
        try {
            begin(record, std::move(description), announced ? Nodes::kKeep : Nodes::kWrite);
        } catch (const Failure& failure) {
            log_error("{} of {} is not served any more: {}", failed.place.device, record.config().name(),
                      failure.what());
            failed.problem = failure.what();
            const Key key(failed.place.domain, failed.place.device);
            attached_.emplace(key, std::move(failed));
        }
    }
}

void Devices::closed(const Key& key, const std::string& problem) {
    const auto found = attached_.find(key);
    if (found == attached_.end()) return;
    Attached& attached = found->second;
    attached.device.reset();
    if (!problem.empty()) {
        log_error("{} of {}: {}", key.second, attached.place.domain_name, problem);
        attached.problem = problem;
    }
    // What failed by itself stays, to tell why, until somebody detaches it.
    if (attached.ending) end(key, true);
}

// Ends a device, or what is left of it.
void Devices::end(const Key& key, bool force) {
    Attached& attached = attached_.at(key);
    attached.ending = true;
    if (attached.device) return attached.device->close(force);
    remove_nodes(attached);
    factory_.clean_up(attached.place);
    const auto waiting = std::move(attached.waiting);
    const std::string problem = attached.problem;
    attached_.erase(key);
    for (const auto& done : waiting)
        done(problem);
}

void Devices::stop(DomId domain) {
    std::vector<Key> keys;
    for (const auto& [key, attached] : attached_) {
        if (key.first == domain) keys.push_back(key);
    }
    for (const Key& key : keys)
        end(key, true);
}

void Devices::clean_up(const std::function<bool(DomId)>& alive) {
    for (const char* type : {kDiskBackend, kNetBackend}) {
        const std::string directory = fmt::format("{}/{}", kBackends, type);
        for (const std::string& name : store_.directory(directory).value_or(std::vector<std::string>())) {
            uint16_t raw = 0;
            const auto result = std::from_chars(name.data(), name.data() + name.size(), raw);
            if (result.ec != std::errc() || result.ptr != name.data() + name.size() || alive(DomId(raw)))
                continue;
            for (const std::string& number :
                 store_.directory(directory + "/" + name).value_or(std::vector<std::string>())) {
                DevicePlace place;
                place.domain = DomId(raw);
                place.backend_path = fmt::format("{}/{}/{}", directory, name, number);
                std::from_chars(number.data(), number.data() + number.size(), place.number);
                factory_.clean_up(place);
            }
            store_.remove(directory + "/" + name);
        }
    }
}

void Devices::attach(const v1::DomainRecord& record, const v1::Disk& disk) {
    v1::Device description;
    *description.mutable_disk() = disk;
    begin(record, std::move(description), Nodes::kWrite);
}

void Devices::attach(const v1::DomainRecord& record, const v1::Net& net) {
    v1::Device description;
    *description.mutable_net() = net;
    begin(record, std::move(description), Nodes::kWrite);
}

const Devices::Attached& Devices::find(DomId domain, const std::string& device) const {
    const auto found = attached_.find({domain, device});
    if (found != attached_.end()) return found->second;
    std::string known;
    for (const auto& [key, attached] : attached_) {
        if (key.first == domain) known += (known.empty() ? "" : ", ") + key.second;
    }
    throw Failure(ErrorCode::kInvalidArgument, fmt::format("the guest has no device {}; it has {}", device,
                                                           known.empty() ? "none" : known));
}

void Devices::detach(DomId domain, const std::string& device, bool force,
                     std::function<void(const std::string& problem)> done) {
    Attached& attached = find(domain, device);
    attached.waiting.push_back(std::move(done));
    // Why it failed was told before; now it is gone, as was asked.
    if (!attached.device) attached.problem.clear();
    end({domain, device}, force);
}

void Devices::resize(DomId domain, const std::string& device,
                     std::function<void(const std::string& problem)> done) {
    Attached& attached = find(domain, device);
    if (!attached.device) {
        throw Failure(ErrorCode::kOperationInvalid,
                      fmt::format("{} is not served: {}", device, attached.problem));
    }
    attached.device->resize(std::move(done));
}

v1::Device Devices::describe(DomId domain, const std::string& device) const {
    const Attached& attached = find(domain, device);
    v1::Device description = attached.description;
    description.set_state("failed");
    description.set_problem(attached.problem);
    if (attached.device) attached.device->describe(description);
    return description;
}

v1::DomainDevices Devices::describe(DomId domain) const {
    v1::DomainDevices all;
    all.set_domid(domain.raw());
    for (const auto& [key, attached] : attached_) {
        if (key.first != domain) continue;
        all.set_name(attached.place.domain_name);
        *all.add_devices() = describe(domain, key.second);
    }
    return all;
}

}  // namespace torii::dom0
