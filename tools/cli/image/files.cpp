// The files that an image gets beside those of its packages, and the description of its guest.

#include "image/recipe.h"

namespace torii::cli::image {
namespace {

constexpr const char* kSourcesPath = "etc/apt/sources.list";
constexpr const char* kNoDaemonsPath = "usr/sbin/policy-rc.d";

// What starts a guest from a disk, here and on other hypervisors, and not all drivers that Debian has: a
// quarter of the size, and quicker to unpack. udev loads what it finds hardware for.
constexpr const char* kDriversHook = R"sh(#!/bin/sh
# The drivers that find this machine's root file system.
[ "$1" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules ext4 xen-blkfront virtio_blk virtio_pci virtio_scsi sd_mod nvme ahci
)sh";

constexpr const char* kNetwork =
    R"(# Each network card by DHCP and router advertisements; not what software makes, such as bridges.
[Match]
Type=ether
Kind=!*

[Network]
DHCP=yes
)";

constexpr const char* kJournal = R"(# A small disk is not for logs.
[Journal]
SystemMaxUse=64M
RuntimeMaxUse=16M
)";

constexpr const char* kPatience = R"(# A guest may get little of the CPUs: what is slow has not failed.
[Manager]
DefaultTimeoutStartSec=5min
DefaultDeviceTimeoutSec=5min
)";

constexpr const char* kSsh = R"(# Keys only, whatever passwords there are for the console.
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
)";

constexpr const char* kSmallPackages = R"(# Programs speak English here.
path-exclude=/usr/share/locale/*/LC_MESSAGES/*.mo
path-exclude=/usr/share/man/??/*
path-exclude=/usr/share/man/??_*/*
)";

std::string hosts(const Recipe& recipe) {
    return "127.0.0.1 localhost\n127.0.1.1 " + recipe.host_name +
           "\n::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n";
}

// systemd grows the file system when it finds the disk larger than before.
std::string file_systems(const Recipe& recipe) {
    return "UUID=" + recipe.file_system_uuid + " / ext4 errors=remount-ro,x-systemd.growfs 0 1\n";
}

}  // namespace

std::vector<std::string> all_packages(const Recipe& recipe) {
    std::vector<std::string> packages{
        recipe.kernel,    "initramfs-tools", "zstd",  "systemd-sysv", "systemd-resolved",
        "dbus",           "libpam-systemd",  "udev",  "kmod",         "openssh-server",
        "sudo",           "passwd",          "login", "iproute2",     "iputils-ping",
        "netbase",        "procps",          "less",  "nano",         "e2fsprogs",
        "ca-certificates"};
    packages.insert(packages.end(), recipe.packages.begin(), recipe.packages.end());
    return packages;
}

std::vector<TreeFile> files_for_installation(const Recipe& recipe) {
    return {
        {kSourcesPath, sources_list(recipe.sources, true), 0600},
        {kNoDaemonsPath, "#!/bin/sh\n# No daemon is started in a folder.\nexit 101\n", 0755},
        {"etc/dpkg/dpkg.cfg.d/torii", kSmallPackages},
        {"etc/initramfs-tools/conf.d/torii", "MODULES=list\n"},
        {"etc/initramfs-tools/hooks/torii", kDriversHook, 0755},
    };
}

std::vector<std::string> files_to_remove() {
    // The second is how the host resolves names.
    return {kNoDaemonsPath, "etc/.resolv.conf.systemd-resolved.bak"};
}

std::vector<TreeFile> files_of_guest(const Recipe& recipe) {
    return {
        {kSourcesPath, sources_list(recipe.sources, false)},
        {"etc/hostname", recipe.host_name + "\n"},
        {"etc/hosts", hosts(recipe)},
        {"etc/fstab", file_systems(recipe)},
        {"etc/default/locale", "LANG=C.UTF-8\n"},
        {"etc/systemd/network/20-ethernet.network", kNetwork},
        {"etc/systemd/journald.conf.d/torii.conf", kJournal},
        {"etc/systemd/system.conf.d/torii.conf", kPatience},
        {"etc/ssh/sshd_config.d/torii.conf", kSsh},
        {"etc/sudoers.d/torii", recipe.user + " ALL=(ALL:ALL) NOPASSWD: ALL\n", 0440},
        // Empty: made when the machine boots first, so that no two have the same.
        {"etc/machine-id", "", 0444},
    };
}

std::string guest_description(const Recipe& recipe) {
    // None of these needs quoting: what a name may be leaves out TOML's signs.
    return R"(# The guest of this image, for `torii create`. Paths are relative to this file.
name = ")" +
           recipe.name + R"("
kernel = "vmlinuz"
ramdisk = "initrd.img"
command-line = "root=/dev/xvda ro console=hvc0 net.ifnames=0"
memory = ")" +
           std::to_string(recipe.memory_kib >> 10) + R"(M"
vcpus = 1

[[disk]]
source = "disk.raw"

[[net]]
attachment = "nat"
forwards = ["tcp:)" +
           std::to_string(recipe.ssh_port) + R"(:22"]
)";
}

}  // namespace torii::cli::image
