#include "core/memory/io_frames.h"

#include "base/panic.h"

namespace torii {
namespace {

// Local APICs and IO-APICs.
constexpr unsigned kMost = 72;
constinit Mfn reserved[kMost]{};
constinit unsigned count = 0;

}  // namespace

void reserve_io_frame(Mfn mfn) {
    if (count == kMost) BUG("more devices of the hypervisor's own than it has places for");
    reserved[count++] = mfn;
}

bool is_reserved_io_frame(Mfn mfn) {
    for (unsigned i = 0; i < count; ++i) {
        if (reserved[i] == mfn) return true;
    }
    return false;
}

}  // namespace torii
