#pragma once
// How a domain looks to clients: what is on record about it together with what the hypervisor says.

#include <torii/v1/internal.pb.h>

#include <optional>
#include <string>

#include "xen/hypervisor.h"

namespace torii::dom0 {

// Numerically libvirt's reasons (libvirt/libvirt-domain.h), each with the state it belongs to.
enum class RunningReason : int { kUnknown = 0, kBooted = 1, kUnpaused = 5 };
enum class PausedReason : int { kUnknown = 0, kUser = 1, kStartingUp = 11 };
enum class ShutdownStateReason : int { kUnknown = 0, kUser = 1 };
enum class ShutoffReason : int {
    kUnknown = 0,
    kShutdown = 1,
    kDestroyed = 2,
    kCrashed = 3,
    kFailed = 6,
    kDaemon = 8
};
enum class CrashedReason : int { kUnknown = 0, kPanicked = 1 };

struct EndOfLife {
    v1::DomainState state = v1::SHUTOFF;
    int reason = 0;
    std::string explanation;
};

// How a domain that has stopped by itself is to be described. `hypervisor_line`: what the hypervisor's log
// says about it, empty if nothing.
EndOfLife describe_end(abi::ShutdownReason reason, const std::string& hypervisor_line);

// The last line of the hypervisor's log that tells why the domain was ended, without its prefix; empty if it
// was not the hypervisor that ended it.
std::string find_log_line(const std::string& log, DomId domain);

// `info` is empty when the hypervisor does not know the domain (any more).
v1::Domain describe_domain(const v1::DomainRecord& record, const std::optional<DomainInfo>& info);

// A domain that this daemon did not make: the control domain, or another toolstack's.
v1::Domain describe_foreign(const DomainInfo& info);

}  // namespace torii::dom0
