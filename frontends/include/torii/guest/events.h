#pragma once
// Events in the two-level layout. Handlers run in the upcall, with upcalls masked, on whatever stack was in
// use.

#include <torii/abi/domid.h>
#include <torii/abi/event_channel.h>
#include <torii/abi/virq.h>

#include <cstdint>

namespace torii::guest {

using abi::RawPort;
using EventHandler = void (*)(RawPort port, void* argument);

// Sets who is called for a port and unmasks it. Null forgets it and masks the port.
void handle_event(RawPort port, EventHandler handler, void* argument = nullptr);

// Looks at what is pending and calls handlers, as the upcall does.
void poll_events();

void mask_upcalls();
// Also takes what came meanwhile.
void unmask_upcalls();

class UpcallsMasked {
public:
    UpcallsMasked();
    ~UpcallsMasked();
    UpcallsMasked(const UpcallsMasked&) = delete;
    UpcallsMasked& operator=(const UpcallsMasked&) = delete;

private:
    bool was_masked_;
};

// Upcalls taken since the start, for tests.
uint64_t upcall_count();

// When an upcall hook is set it replaces the two-level scan (for the FIFO layout).
void set_upcall_hook(void (*hook)());

// Waits until `condition` (called with upcalls masked) holds, sleeping between events; false after
// `timeout_ns`. Uses the one-shot timer, and binds its virtual interrupt meanwhile unless the guest has bound
// it.
bool wait_until(bool (*condition)(void*), void* argument, uint64_t timeout_ns);

// The following return a port, or a negative abi::Errno.
int64_t allocate_unbound(abi::RawDomId owner, abi::RawDomId remote);
int64_t bind_interdomain(abi::RawDomId remote, RawPort remote_port);
int64_t bind_virq(abi::Virq virq, uint32_t vcpu = 0);
int64_t bind_ipi(uint32_t vcpu = 0);

int64_t close_port(RawPort port);
int64_t send_event(RawPort port);
int64_t port_status(RawPort port, abi::EventStatus& status);

}  // namespace torii::guest
