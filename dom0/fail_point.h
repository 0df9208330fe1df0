#pragma once
// Named steps at which a test can have the daemon killed, as `kill -9` would: toriid --fail-point
// NAME[:COUNT].

#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace torii::dom0 {

// Called with the name of each step as it is reached.
using FailPointHook = std::function<void(std::string_view)>;

// The daemon's own steps, in the order in which they are reached. The store's are in xenstore/fail_points.h.
inline constexpr std::string_view kFailPoints[] = {
    "create.recorded",     // intent on disk, nothing else
    "create.planned",      // in the builder process, kernel read
    "create.domain",       // the domain exists, empty
    "create.memory",       // it has its memory
    "create.loaded",       // kernel and ramdisk copied
    "create.tables",       // page tables pinned
    "create.context",      // first virtual CPU set up
    "create.built",        // the daemon has taken over
    "create.store-nodes",  // its xenstore nodes written
    "create.devices",      // its devices' nodes written, their back ends begun
    "create.introduced",   // xenstore connected
    "create.console",      // console connected
    "create.saved",        // recorded as complete
    "create.unpaused",     // running, not answered yet
    "destroy.recorded",    // marked on disk
    "destroy.killed",      // dying in the hypervisor
    "destroy.released",    // gone; xenstore cleaned
    "destroy.forgotten",   // removed from disk
    "attach.recorded",     // a device in the record, nothing else
    "attach.begun",        // its nodes written, its back end begun
    "detach.recorded",     // to be detached by the record, still there
    "detach.closed",       // detached, still in the record
    "console.read",        // bytes taken from the ring, not in the log yet
    "console.logged",      // in the log, the ring's index not moved yet
    "console.consumed",    // ring's index moved
};

// The hook for an option "NAME" or "NAME:COUNT" (fires the COUNT-th time); empty: never. It kills `daemon`
// (in a builder process that is its parent) and this process. Throws Failure (kInvalidArgument) for a bad
// count.
FailPointHook make_fail_point_hook(const std::string& option, int daemon);

}  // namespace torii::dom0
