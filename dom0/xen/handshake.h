#pragma once
// The daemon and the hypervisor are installed together, but the daemon is exchanged at once and the
// hypervisor when the machine reboots: so a newer daemon works with an older hypervisor for a while.

#include <string>
#include <string_view>

#include "xen/hypervisor.h"

namespace torii::dom0 {

// Throws Failure (kNotSupported) if the hypervisor's control interface is not the one that this daemon
// speaks. Calls that only newer ones know need no agreement: each is asked for, and answers that it is not
// there. Returns a sentence for people if the hypervisor is of another revision than the daemon, else
// nothing.
std::string shake_hands(Hypervisor& hypervisor, std::string_view own_revision);

}  // namespace torii::dom0
