#pragma once
// Devices with their back ends: disks by backends/block, networks by backends/net, all served by one thread.
//
// What outlives the daemon: state files of disks' rings, servers for images that are not raw (qemu-nbd), NATs
// (torii-nat). All of them are named by domain and device, below one folder.

#include <boost/asio/io_context.hpp>
#include <map>

#include "devices/device_factory.h"
#include "devices/helper_processes.h"
#include "devices/local_store.h"
#include "devices/service_thread.h"
#include "fail_point.h"
#include "net/switch.h"

namespace torii::dom0 {

struct BackendOptions {
    std::filesystem::path folder = "/run/torii/devices";
    std::string nat_program = "/usr/sbin/torii-nat";
    std::string disk_server = "/usr/bin/qemu-nbd";
};

class BackendFactory final : public DeviceFactory {
public:
    // The thread is started with the first device, so that a dom0 without guests' devices needs neither
    // io_uring nor grants.
    BackendFactory(boost::asio::io_context& context, xenstore::LocalClient& store, PrivilegedCalls& calls,
                   BackendOptions options, FailPointHook fail_point);
    ~BackendFactory() override;

    std::unique_ptr<GuestDevice> make_disk(const DevicePlace& place, const v1::Disk& disk,
                                           GuestDevice::Events events) override;
    std::unique_ptr<GuestDevice> make_net(const DevicePlace& place, const v1::Net& net,
                                          GuestDevice::Events events) override;
    void clean_up(const DevicePlace& place) override;

private:
    std::shared_ptr<ServiceThread> thread();
    std::function<void(std::function<void()>)> poster();
    // Of what outlives the daemon for a device: "disk-3-51712".
    static std::string name_of(const DevicePlace& place);
    std::string socket_of(const DevicePlace& place) const;
    void start_disk_server(const DevicePlace& place, const v1::Disk& disk);
    void start_nat(const DevicePlace& place);
    backend::net::Attachment attachment(const DevicePlace& place, const v1::Net& net);

    boost::asio::io_context& context_;
    LocalDeviceStore store_;
    PrivilegedCalls& calls_;
    BackendOptions options_;
    FailPointHook fail_point_;
    HelperProcesses helpers_;
    std::shared_ptr<ServiceThread> thread_;
    std::map<std::string, std::weak_ptr<backend::net::Switch>> switches_;
};

}  // namespace torii::dom0
