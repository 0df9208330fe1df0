#pragma once
// Devices without back ends: they say what they are told, and what outlives the daemon is a set of paths.

#include <torii/failure.h>

#include <functional>
#include <map>
#include <set>

#include "devices/device_factory.h"

namespace torii::dom0::test {

class FakeDeviceFactory final : public DeviceFactory {
public:
    struct Device final : GuestDevice {
        Device(FakeDeviceFactory& owner, const DevicePlace& where, Events told)
            : factory(owner), place(where), events(std::move(told)) {
            factory.devices[place.backend_path] = this;
            factory.left_behind.insert(place.backend_path);
        }
        ~Device() override { factory.devices.erase(place.backend_path); }
        void describe(v1::Device& device) const override {
            device.set_state(closing ? "closing" : opening ? "opening" : "connected");
            device.set_size_bytes(size);
        }
        void close(bool force) override {
            closing = true;
            forced = force;
            if (!force && factory.guest_is_deaf) return;
            if (factory.closing) return factory.closing(place.backend_path);
            factory.closed.push_back(place.backend_path);
        }
        void resize(std::function<void(const std::string&)> done) override {
            if (factory.resize_problem.empty()) size *= 2;
            done(factory.resize_problem);
        }

        FakeDeviceFactory& factory;
        DevicePlace place;
        Events events;
        bool closing = false;
        bool opening = false;
        bool forced = false;
        uint64_t size = 1 << 20;
    };

    std::unique_ptr<GuestDevice> make_disk(const DevicePlace& place, const v1::Disk& disk,
                                           GuestDevice::Events events) override {
        if (disk.source() == missing) throw Failure(ErrorCode::kSystem, "cannot open " + disk.source());
        auto device = std::make_unique<Device>(*this, place, std::move(events));
        device->opening = disk.source() == in_use;
        if (device->opening && opening) opening(place.backend_path);
        return device;
    }
    std::unique_ptr<GuestDevice> make_net(const DevicePlace& place, const v1::Net& net,
                                          GuestDevice::Events events) override {
        last_net = net;
        return std::make_unique<Device>(*this, place, std::move(events));
    }
    void clean_up(const DevicePlace& place) override { left_behind.erase(place.backend_path); }

    // As the loop would tell it.
    void tell_closed(const std::string& backend_path, const std::string& problem = "") {
        const auto told = devices.at(backend_path)->events.closed;
        told(problem);
    }
    void tell_all_closed() {
        const auto paths = std::exchange(closed, {});
        for (const std::string& path : paths) {
            if (devices.contains(path)) tell_closed(path);  // asked twice, it ends once
        }
    }

    std::map<std::string, Device*> devices;  // by back end's path
    v1::Net last_net;
    std::set<std::string> left_behind;
    std::vector<std::string> closed;  // by force, not told yet
    std::string in_use = "/in-use";   // opening it takes time; `opening` is told the backend path
    std::function<void(const std::string& backend_path)> opening;
    std::string resize_problem;  // why no disk takes another size
    std::string missing = "/missing";
    std::function<void(const std::string&)> closing;  // in place of `closed`
    bool guest_is_deaf = true;                        // lets go of nothing that is not taken by force
};

}  // namespace torii::dom0::test
