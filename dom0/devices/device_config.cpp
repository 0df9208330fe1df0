#include "devices/device_config.h"

#include <torii/failure.h>

#include <charconv>
#include <set>

#include "devices/net_rules.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

constexpr uint32_t kMostDisks = 26;  // xvda to xvdz
constexpr uint32_t kMostNets = 32;
// Public io/blkif.h: xvda to xvdp have numbers of a major of their own, the others those of the extended
// form.
constexpr uint32_t kDisksOfMajor = 16;
constexpr uint32_t kMajor = 202;
constexpr uint32_t kExtended = 1u << 28;

[[noreturn]] void refuse(const std::string& sentence) {
    throw Failure(ErrorCode::kInvalidArgument, sentence);
}

std::string disk_name(uint32_t index) {
    return std::string("xvd") + static_cast<char>('a' + index);
}

// The first name of a kind that none of the devices has.
template <typename Devices, typename Name>
std::string free_name(const Devices& devices, uint32_t most, const char* kind, Name name_of) {
    std::set<std::string> taken;
    for (const auto& device : devices)
        taken.insert(device.device());
    for (uint32_t i = 0; i < most; i++) {
        if (!taken.contains(name_of(i))) return name_of(i);
    }
    refuse(fmt::format("a guest can have {} {}, and this one has as many", most, kind));
}

template <typename Devices>
void check_name_free(const Devices& devices, const std::string& name) {
    for (const auto& device : devices) {
        if (device.device() == name)
            refuse("the guest has a device " + name + " already: choose another name");
    }
}

void check_limit(const v1::Limit& limit, const std::string& device) {
    if (limit.burst() != 0 && limit.per_second() == 0) {
        refuse(device + " has a burst without a limit: give how much may pass in a second, too");
    }
}

void check_disk(v1::Disk& disk) {
    (void)disk_number(disk.device());
    const std::string& source = disk.source();
    if (source.empty())
        refuse("the disk " + disk.device() + " needs a source: a file, a block device or an NBD URI");
    if (is_nbd_uri(source)) {
        if (!disk.format().empty() && disk.format() != "raw") {
            refuse(fmt::format("the disk {} is an NBD server's, which has done with its format: leave {} out",
                               disk.device(), disk.format()));
        }
    } else if (source.front() != '/') {
        refuse(
            fmt::format("the disk {}: the path of its source must be absolute: {}", disk.device(), source));
    }
    if (disk.format().empty()) disk.set_format("raw");
    for (const char character : disk.format()) {
        if (std::isalnum(static_cast<unsigned char>(character)) == 0 && character != '-' &&
            character != '_') {
            refuse(fmt::format("the disk {}: \"{}\" is no format; most are raw or qcow2", disk.device(),
                               disk.format()));
        }
    }
    if (disk.sector_size() == 0) disk.set_sector_size(512);
    if (disk.sector_size() != 512 && disk.sector_size() != 4096) {
        refuse(fmt::format("the disk {}: sectors of {} bytes are not possible: 512 or 4096", disk.device(),
                           disk.sector_size()));
    }
    if (disk.cdrom()) disk.set_read_only(true);
    check_limit(disk.requests(), disk.device());
    check_limit(disk.bytes(), disk.device());
}

}  // namespace

uint32_t disk_number(const std::string& device) {
    if (device.size() == 4 && device.starts_with("xvd") && device[3] >= 'a' && device[3] <= 'z') {
        const auto index = static_cast<uint32_t>(device[3] - 'a');
        return index < kDisksOfMajor ? kMajor << 8 | index << 4 : kExtended | index << 8;
    }
    refuse("\"" + device + "\" is no name of a guest's disk: xvda to xvdz are");
}

uint32_t net_number(const std::string& device) {
    uint32_t number = kMostNets;
    if (device.starts_with("eth")) {
        const char* end = device.data() + device.size();
        const auto result = std::from_chars(device.data() + 3, end, number);
        if (result.ec != std::errc() || result.ptr != end) number = kMostNets;
    }
    if (number < kMostNets) return number;
    refuse("\"" + device + "\" is no name of a guest's network interface: eth0 to eth31 are");
}

bool is_nbd_uri(const std::string& source) {
    return source.starts_with("nbd://") || source.starts_with("nbds://") ||
           source.starts_with("nbd+unix://") || source.starts_with("nbds+unix://");
}

void check_new_disk(const v1::DomainConfig& config, v1::Disk& disk) {
    if (disk.device().empty()) disk.set_device(free_name(config.disks(), kMostDisks, "disks", disk_name));
    check_name_free(config.disks(), disk.device());
    check_disk(disk);
}

void check_new_net(const v1::DomainConfig& config, v1::Net& net) {
    if (net.device().empty()) {
        net.set_device(free_name(config.nets(), kMostNets, "network interfaces",
                                 [](uint32_t index) { return "eth" + std::to_string(index); }));
    }
    check_name_free(config.nets(), net.device());
    (void)net_number(net.device());
    check_net(config.uuid(), net);
}

void check_devices(v1::DomainConfig& config) {
    // Named ones first, so that none of them finds its name taken by one that has none.
    const auto rebuild = [](auto* devices, auto check) {
        auto wanted = *devices;
        devices->Clear();
        for (const bool named : {true, false}) {
            for (auto& device : wanted) {
                if (device.device().empty() == named) continue;
                check(device);
                *devices->Add() = device;
            }
        }
    };
    rebuild(config.mutable_disks(), [&](v1::Disk& disk) { check_new_disk(config, disk); });
    rebuild(config.mutable_nets(), [&](v1::Net& net) { check_new_net(config, net); });
}

}  // namespace torii::dom0
