#include "xen/handshake.h"

#include <torii/failure.h>

#include "log/log.h"

namespace torii::dom0 {

std::string shake_hands(Hypervisor& hypervisor, std::string_view own_revision) {
    const VersionInfo running = hypervisor.version();
    if (!hypervisor.speaks_control_interface()) {
        throw Failure(
            ErrorCode::kNotSupported,
            fmt::format("the hypervisor that runs ({}, {}) has another control interface than this toriid "
                        "({}), which can't look after its guests. Reboot into the hypervisor that was "
                        "installed with this toriid, or install the toriid that came with the other",
                        running.version, running.changeset, own_revision));
    }
    // Xen is not installed with this daemon, so there is nothing to compare.
    if (running.version.find("-torii") == std::string::npos || running.changeset == own_revision) return "";
    return fmt::format(
        "the hypervisor that runs ({}) is not of the same revision as this toriid ({}): both work together, "
        "and the one that is installed now is used from the next boot on",
        running.changeset, own_revision);
}

}  // namespace torii::dom0
