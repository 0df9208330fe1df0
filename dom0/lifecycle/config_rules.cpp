#include "lifecycle/config_rules.h"

#include <torii/abi/start_info.h>
#include <torii/failure.h>

#include <algorithm>
#include <cctype>

#include "cpus/placement.h"
#include "devices/device_config.h"
#include "lifecycle/uuid.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

constexpr size_t kMaxNameLength = 63;

[[noreturn]] void refuse(const std::string& sentence) {
    throw Failure(ErrorCode::kInvalidArgument, sentence);
}

void check_memory(v1::DomainConfig& config) {
    if (config.memory_kib() < kMinMemoryKib) {
        refuse(fmt::format(
            "{} KiB of memory is too little for any kernel: give at least {} MiB, for Linux 64 MiB or "
            "more",
            config.memory_kib(), kMinMemoryKib >> 10));
    }
    if (config.max_memory_kib() == 0) config.set_max_memory_kib(config.memory_kib());
    if (config.max_memory_kib() > kMaxMemoryKib || config.memory_kib() > kMaxMemoryKib) {
        refuse("no domain can have more than 16 TiB of memory");
    }
    if (config.max_memory_kib() < config.memory_kib()) {
        refuse(fmt::format("the domain's memory ({} MiB) is larger than its maximum ({} MiB)",
                           config.memory_kib() >> 10, config.max_memory_kib() >> 10));
    }
}

void check_cpus(v1::DomainConfig& config) {
    if (config.vcpus() == 0) refuse("the domain needs at least one virtual CPU");
    if (config.max_vcpus() == 0) config.set_max_vcpus(config.vcpus());
    if (config.vcpus() > kMaxVcpus || config.max_vcpus() > kMaxVcpus) {
        refuse(fmt::format("{} virtual CPUs are too many: the limit is {}",
                           std::max(config.vcpus(), config.max_vcpus()), kMaxVcpus));
    }
    if (config.max_vcpus() < config.vcpus()) {
        refuse(fmt::format("the domain is to start with {} virtual CPUs, but to have at most {} (max-vcpus)",
                           config.vcpus(), config.max_vcpus()));
    }
    if (config.weight() != 0) check_weight(config.weight());
    check_cap(config.cap_percent());
    if (!config.cpus().empty()) CpuList::parse(config.cpus());
    if (!config.soft_cpus().empty()) CpuList::parse(config.soft_cpus());
}

}  // namespace

void check_domain_name(const std::string& name) {
    if (name.empty()) refuse("the domain needs a name");
    if (name.size() > kMaxNameLength) {
        refuse(fmt::format("the name is {} characters long; the limit is {}", name.size(), kMaxNameLength));
    }
    const bool legal = std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '+';
    });
    if (!legal || name.front() == '.' || name.front() == '-') {
        refuse("the name \"" + name +
               "\" is not possible: use letters, digits and - _ . + and begin with a letter, a "
               "digit or _");
    }
    if (std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c) != 0; })) {
        refuse("the name \"" + name + "\" is a number and would be taken for a domain id: add a letter");
    }
    if (name == "Domain-0") refuse("the name Domain-0 belongs to the control domain");
}

void check_config(v1::DomainConfig& config) {
    check_domain_name(config.name());
    if (config.kernel().empty()) refuse("the domain needs a kernel: give the path of one");
    if (config.kernel().front() != '/') refuse("the kernel's path must be absolute: " + config.kernel());
    if (!config.ramdisk().empty() && config.ramdisk().front() != '/') {
        refuse("the ramdisk's path must be absolute: " + config.ramdisk());
    }
    if (config.command_line().size() >= abi::kMaxGuestCommandLine) {
        refuse(fmt::format("the kernel's command line is {} characters long; the limit is {}",
                           config.command_line().size(), abi::kMaxGuestCommandLine - 1));
    }
    check_memory(config);
    check_cpus(config);
    if (config.uuid().empty()) config.set_uuid(format_uuid(make_uuid()));
    const auto uuid = parse_uuid(config.uuid());
    if (!uuid) refuse("\"" + config.uuid() + "\" is not a UUID (8-4-4-4-12 hexadecimal digits)");
    config.set_uuid(format_uuid(*uuid));
    check_devices(config);  // whose addresses are made from the UUID
}

}  // namespace torii::dom0
