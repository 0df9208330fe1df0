#pragma once
// A guest's console as it is wired in dom0: mapped ring, bound port, log, pty.

#include <boost/asio/io_context.hpp>
#include <memory>

#include "console/guest_console.h"
#include "console/pty.h"
#include "xen/event_channels.h"
#include "xen/hypervisor.h"

namespace torii::dom0 {

struct ConsolePlace {
    DomId domain;
    Mfn frame;
    Port port;  // of the domain
    std::string name;
    ConsoleLogOptions log;
    std::function<void()> broken;  // as GuestConsole::Wiring's
};

class ConsoleConnection {
public:
    // Throws Failure. A pty that cannot be had is only logged.
    ConsoleConnection(boost::asio::io_context& context, Hypervisor& hypervisor, EventChannels& channels,
                      const ConsolePlace& place, const FailPointHook& fail_point);
    ~ConsoleConnection();
    ConsoleConnection(const ConsoleConnection&) = delete;
    ConsoleConnection& operator=(const ConsoleConnection&) = delete;

    GuestConsole& console() { return *console_; }
    std::string terminal() const { return pty_ ? pty_->path() : std::string(); }

    // Called when the connection ends, so that attached readers can be told.
    uint64_t on_end(std::function<void()> callback);
    void forget_end(uint64_t id) { end_callbacks_.erase(id); }

private:
    ForeignMapping ring_;
    BoundPort port_;
    std::unique_ptr<GuestConsole> console_;
    std::unique_ptr<Pty> pty_;
    std::map<uint64_t, std::function<void()>> end_callbacks_;
    uint64_t next_end_callback_ = 1;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace torii::dom0
