#include "core/memory/io_frames.h"

#include "base/lock.h"
#include "base/panic.h"

namespace torii {
namespace {

// Local APICs and IO-APICs.
constexpr unsigned kMostReserved = 72;
constinit Mfn reserved[kMostReserved]{};
constinit unsigned reserved_count = 0;

constexpr unsigned kMostGuarded = 256;
struct Guards {
    Spinlock lock{LockRank::kWindow};
    unsigned count = 0;
    GuardedRange ranges[kMostGuarded]{};

    template <class Test>
    GuardedRange* find(Test&& test) {
        for (unsigned i = 0; i < count; ++i) {
            if (test(ranges[i])) return &ranges[i];
        }
        return nullptr;
    }
};
constinit Guards guards;

}  // namespace

void reserve_io_frame(Mfn mfn) {
    if (reserved_count == kMostReserved) BUG("more devices of the hypervisor's own than it has places for");
    reserved[reserved_count++] = mfn;
}

bool is_reserved_io_frame(Mfn mfn) {
    for (unsigned i = 0; i < reserved_count; ++i) {
        if (reserved[i] == mfn) return true;
    }
    return false;
}

[[gnu::cold]] Result<> guard_io_range(const GuardedRange& range) {
    const LockGuard guard(guards.lock);
    GuardedRange* const same = guards.find(
        [&](const GuardedRange& other) { return other.of == range.of && other.kind == range.kind; });
    if (same != nullptr) {
        *same = range;
        return {};
    }
    if (guards.count == kMostGuarded) return Errno::kENOSPC;
    guards.ranges[guards.count++] = range;
    return {};
}

bool is_guarded_io_frame(Mfn mfn) {
    const LockGuard guard(guards.lock);
    return guards.find([mfn](const GuardedRange& range) {
        return range.bytes != 0 && mfn >= frame_of(range.start) &&
               mfn <= frame_of(range.start + (range.bytes - 1));
    }) != nullptr;
}

GuardedRange guarded_range_at(MachineAddr address) {
    const LockGuard guard(guards.lock);
    const GuardedRange* const found =
        guards.find([address](const GuardedRange& range) { return range.contains(address); });
    return found != nullptr ? *found : GuardedRange{};
}

}  // namespace torii
