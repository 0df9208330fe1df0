#pragma once
// What a description says of devices: checked, and completed with what it leaves open.

#include <torii/v1/control.pb.h>

#include <cstdint>
#include <string>

namespace torii::dom0 {

// A device's number in xenstore's paths, from the guest's name for it. For disks it is also what the guest's
// kernel makes the name from (public io/blkif.h, "Virtual device number"): xvda to xvdz. For networks: eth0
// to eth31. Throws Failure (kInvalidArgument).
uint32_t disk_number(const std::string& device);
uint32_t net_number(const std::string& device);

// Whether a disk's source is a server's (nbd:// and its kin) and not a path.
bool is_nbd_uri(const std::string& source);

// Throw Failure (kInvalidArgument, kConfigurationUnsupported) with a sentence. Afterwards every device has
// its name, format, sector size, attachment and MAC address, and no two are called alike.
void check_devices(v1::DomainConfig& config);
// One more for a domain that has `config` already.
void check_new_disk(const v1::DomainConfig& config, v1::Disk& disk);
void check_new_net(const v1::DomainConfig& config, v1::Net& net);

}  // namespace torii::dom0
