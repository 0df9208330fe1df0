#include "core/memory/io_frames.h"

#include "base/lock.h"
#include "base/panic.h"
#include "core/memory/heap.h"

namespace torii {
namespace {

// Local APICs and IO-APICs.
constexpr unsigned kMostReserved = 72;
constinit Mfn reserved[kMostReserved]{};
constinit unsigned reserved_count = 0;

// Configuration space is known before there is a heap; the others have memory once the first one comes.
constexpr size_t kBytesOfTables = 2 * kPageSize;
constexpr unsigned kMostTables = kBytesOfTables / sizeof(GuardedRange);
struct Guards {
    Spinlock lock{LockRank::kWindow};
    GuardedRange configuration{};
    GuardedRange* tables = nullptr;
    unsigned count = 0;

    template <class Test>
    GuardedRange* find(Test&& test) {
        if (test(configuration)) return &configuration;
        for (unsigned i = 0; i < count; ++i) {
            if (test(tables[i])) return &tables[i];
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
    if (range.kind == IoGuard::kConfiguration) {
        const LockGuard guard(guards.lock);
        guards.configuration = range;
        return {};
    }
    void* fresh = TRY(heap_allocate(kBytesOfTables));
    Result<> result;
    {
        const LockGuard guard(guards.lock);
        if (guards.tables == nullptr) {
            guards.tables = static_cast<GuardedRange*>(fresh);
            fresh = nullptr;
        }
        GuardedRange* place = guards.find([&](const GuardedRange& other) {
            return other.of == range.of && other.kind == IoGuard::kMessageTable;
        });
        if (place == nullptr && guards.count == kMostTables) result = Errno::kENOSPC;
        if (place == nullptr && result.ok()) place = &guards.tables[guards.count++];
        if (place != nullptr) *place = range;
    }
    heap_free(fresh);
    return result;
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
