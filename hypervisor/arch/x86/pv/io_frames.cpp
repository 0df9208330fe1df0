// Who may map memory that is not RAM.
#include "arch/x86/pv/page_type.h"

namespace torii::pv {
namespace {

// Devices that the hypervisor drives itself: a handful.
constexpr unsigned kMostReserved = 64;
constinit Mfn reserved[kMostReserved]{};
constinit unsigned reserved_count = 0;

}  // namespace

void reserve_io_frame(Mfn mfn) {
    if (reserved_count == kMostReserved) BUG("more devices of the hypervisor's own than it has places for");
    reserved[reserved_count++] = mfn;
}

bool may_map_io_frame(const Domain& domain, Mfn mfn) {
    if (!domain.io.all_memory) return false;
    for (unsigned i = 0; i < reserved_count; ++i) {
        if (reserved[i] == mfn) return false;
    }
    return true;
}

}  // namespace torii::pv
