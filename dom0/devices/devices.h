#pragma once
// The devices of all guests: their nodes in xenstore, and their back ends. On the daemon's loop.
//
// What devices a guest has is in its record; what is written there is kept by whoever calls. The nodes have
// type names of our own (torii-vbd, torii-vif), which no driver of dom0's kernel answers to.

#include <torii/v1/internal.pb.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "devices/device_factory.h"
#include "xenstore/local_client.h"

namespace torii::dom0 {

class Devices {
public:
    Devices(xenstore::LocalClient& store, DeviceFactory& factory) : store_(store), factory_(factory) {}

    // Of a new guest, before it runs. Throws Failure; then none of its devices is left.
    void start(const v1::DomainRecord& record);
    // Of a guest that an earlier daemon served. What cannot be served again is logged. What was being
    // detached is so again only if detach() is called, too.
    void resume(const v1::DomainRecord& record);
    // The guest is at its end: lets go of everything of it, and removes its nodes as soon as that is done.
    void stop(DomId domain);
    // Removes what is left of domains that `alive` does not know.
    void clean_up(const std::function<bool(DomId)>& alive);

    // For a guest that runs. `device` has its name and is not in the guest yet. Throw Failure.
    void attach(const v1::DomainRecord& record, const v1::Disk& disk);
    void attach(const v1::DomainRecord& record, const v1::Net& net);
    // `done` with a sentence, when something went wrong, or with none. A second call hastens the first.
    void detach(DomId domain, const std::string& device, bool force,
                std::function<void(const std::string& problem)> done);
    // Likewise; the device's description says the size.
    void resize(DomId domain, const std::string& device,
                std::function<void(const std::string& problem)> done);

    v1::DomainDevices describe(DomId domain) const;
    v1::Device describe(DomId domain, const std::string& device) const;

private:
    struct Attached {
        v1::Device description;
        DevicePlace place;
        std::unique_ptr<GuestDevice> device;  // none any more when it failed
        std::string problem;
        bool ending = false;  // its nodes go when it is closed
        std::vector<std::function<void(const std::string&)>> waiting;
    };
    using Key = std::pair<DomId, std::string>;

    enum class Nodes { kWrite, kKeep };
    void begin(const v1::DomainRecord& record, v1::Device description, Nodes nodes);
    std::unique_ptr<GuestDevice> make(const Attached& attached, GuestDevice::Events events);
    void write_nodes(const Attached& attached);
    void remove_nodes(const Attached& attached);
    void closed(const Key& key, const std::string& problem);
    void end(const Key& key, bool force);
    const Attached& find(DomId domain, const std::string& device) const;
    Attached& find(DomId domain, const std::string& device) {
        return const_cast<Attached&>(std::as_const(*this).find(domain, device));
    }

    xenstore::LocalClient& store_;
    DeviceFactory& factory_;
    std::map<Key, Attached> attached_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace torii::dom0
