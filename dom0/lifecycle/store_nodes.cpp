#include "lifecycle/store_nodes.h"

#include <torii/abi/grant_table.h>

#include "cpus/placement.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

using xenstore::Access;
using xenstore::LocalAccess;
using xenstore::Permissions;

std::string home(DomId domain) {
    return fmt::format("/local/domain/{}", domain.raw());
}

// What drivers/xen/cpu_hotplug.c of Linux reads, at its start and whenever it changes.
std::string availability(DomId domain, uint32_t vcpu) {
    return fmt::format("{}/cpu/{}/availability", home(domain), vcpu);
}
constexpr const char* kOnline = "online";
constexpr const char* kOffline = "offline";

std::string machine(const std::string& uuid) {
    return "/vm/" + uuid;
}

// Only the control domain writes; the domain reads.
Permissions readable_by(DomId domain) {
    return {{kDom0, Access::kNone}, {domain, Access::kRead}};
}

// The domain's own playground.
Permissions owned_by(DomId domain) {
    return {{domain, Access::kNone}};
}

void make(LocalAccess& store, const std::string& path, const std::string& value,
          const Permissions& permissions) {
    store.write(path, value);
    store.set_permissions(path, permissions);
}

void write_identity(LocalAccess& store, const v1::DomainRecord& record, DomId domain) {
    const v1::DomainConfig& config = record.config();
    const std::string vm = machine(config.uuid());
    make(store, vm, "", readable_by(domain));
    make(store, vm + "/uuid", config.uuid(), readable_by(domain));
    make(store, vm + "/name", config.name(), readable_by(domain));
    make(store, vm + "/start_time", std::to_string(record.created_unix()), readable_by(domain));
    const std::string base = home(domain);
    make(store, base, "", readable_by(domain));
    make(store, base + "/vm", vm, readable_by(domain));
    make(store, base + "/name", config.name(), readable_by(domain));
    make(store, base + "/domid", std::to_string(domain.raw()), readable_by(domain));
}

void write_machine(LocalAccess& store, const v1::DomainRecord& record, DomId domain) {
    const v1::DomainConfig& config = record.config();
    const std::string base = home(domain);
    make(store, base + "/memory", "", readable_by(domain));
    make(store, base + "/memory/static-max", std::to_string(config.max_memory_kib()), readable_by(domain));
    make(store, base + "/memory/target", std::to_string(config.memory_kib()), readable_by(domain));
    make(store, base + "/memory/videoram", "0", readable_by(domain));
    make(store, base + "/cpu", "", readable_by(domain));
    for (uint32_t cpu = 0; cpu < max_vcpus(config); cpu++) {
        make(store, fmt::format("{}/cpu/{}", base, cpu), "", readable_by(domain));
        make(store, availability(domain, cpu), cpu < wanted_vcpus(record) ? kOnline : kOffline,
             readable_by(domain));
    }
    make(store, base + "/store", "", readable_by(domain));
    make(store, base + "/store/port", std::to_string(record.xenstore_port()), readable_by(domain));
    make(store, base + "/store/ring-ref", std::to_string(record.xenstore_frame()), readable_by(domain));
    make(store, base + "/console", "", readable_by(domain));
    make(store, base + "/console/port", std::to_string(record.console_port()), readable_by(domain));
    make(store, base + "/console/ring-ref", std::to_string(record.console_frame()), readable_by(domain));
    make(store, base + "/console/type", "xenconsoled", readable_by(domain));
    make(store, base + "/console/output", "pty", readable_by(domain));
    make(store, base + "/console/tty", "", readable_by(domain));
}

void write_exchange(LocalAccess& store, DomId domain) {
    const std::string base = home(domain);
    make(store, base + "/control", "", readable_by(domain));
    // Linux empties `shutdown` to say that it has read it, and announces by the features what it listens to.
    for (const char* name : {"shutdown", "feature-poweroff", "feature-reboot", "feature-suspend", "sysrq"}) {
        make(store, base + "/control/" + name, "", owned_by(domain));
    }
    for (const char* name :
         {"platform-feature-multiprocessor-suspend", "platform-feature-xs_reset_watches"}) {
        make(store, base + "/control/" + name, "1", readable_by(domain));
    }
    make(store, base + "/device", "", readable_by(domain));
    make(store, base + "/backend", "", readable_by(domain));
    for (const char* name : {"data", "drivers", "feature", "attr", "error"}) {
        make(store, base + "/" + name, "", owned_by(domain));
    }
}

}  // namespace

void StoreNodes::write_control_domain(uint32_t vcpus) {
    client_.transaction([vcpus](LocalAccess& store) {
        store.write("/local/domain/0/name", "Domain-0");
        store.write("/local/domain/0/domid", "0");
        store.write("/tool/torii", "");
        // Those of an earlier daemon stay as they are: its kernel would follow any change.
        for (uint32_t vcpu = 0; vcpu < vcpus; vcpu++) {
            const std::string path = availability(kDom0, vcpu);
            if (!store.exists(path)) store.write(path, kOnline);
        }
    });
}

void StoreNodes::write(const v1::DomainRecord& record) {
    const DomId domain(static_cast<uint16_t>(record.domid()));
    client_.transaction([&](LocalAccess& store) {
        store.remove(home(domain));
        write_identity(store, record, domain);
        write_machine(store, record, domain);
        write_exchange(store, domain);
    });
}

void StoreNodes::set_terminal(DomId domain, const std::string& path) {
    client_.write(home(domain) + "/console/tty", path);
}

void StoreNodes::remove(DomId domain, const std::string& uuid) {
    client_.transaction([&](LocalAccess& store) {
        store.remove(home(domain));
        store.remove(machine(uuid));
    });
}

void StoreNodes::rename(DomId domain, const std::string& uuid, const std::string& name) {
    client_.transaction([&](LocalAccess& store) {
        store.write(home(domain) + "/name", name);
        store.write(machine(uuid) + "/name", name);
    });
}

void StoreNodes::set_memory_target(DomId domain, uint64_t kib) {
    client_.write(home(domain) + "/memory/target", std::to_string(kib));
}

void StoreNodes::set_vcpus(DomId domain, uint32_t vcpus, uint32_t online) {
    client_.transaction([&](LocalAccess& store) {
        for (uint32_t vcpu = 0; vcpu < vcpus; vcpu++) {
            const std::string path = availability(domain, vcpu);
            const char* wanted = vcpu < online ? kOnline : kOffline;
            // A node that is as it should be is left alone: each write wakes the guest's kernel. One that is
            // not there is another toolstack's omission.
            const auto found = store.read(path);
            if (!found) {
                make(store, fmt::format("{}/cpu/{}", home(domain), vcpu), "", readable_by(domain));
                make(store, path, wanted, readable_by(domain));
            } else if (*found != wanted) {
                store.write(path, wanted);
            }
        }
    });
}

bool StoreNodes::accepts_shutdown(DomId domain, bool reboot) {
    const char* feature = reboot ? "/control/feature-reboot" : "/control/feature-poweroff";
    return client_.read(home(domain) + feature).value_or("") == "1";
}

void StoreNodes::request_shutdown(DomId domain, bool reboot) {
    client_.write(home(domain) + "/control/shutdown", reboot ? "reboot" : "poweroff");
}

}  // namespace torii::dom0
