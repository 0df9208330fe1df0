#include "core/call/wall_clock.h"

#include <atomic>

#include "base/once.h"
#include "core/domain/domain.h"

namespace torii {
namespace {

constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;
constinit std::atomic<uint64_t> epoch_at_boot{0};

}  // namespace

void set_wall_clock(uint64_t epoch_nanoseconds_at_boot) {
    epoch_at_boot.store(epoch_nanoseconds_at_boot, std::memory_order_relaxed);
}

uint64_t wall_clock_epoch() {
    return epoch_at_boot.load(std::memory_order_relaxed);
}

void publish_wall_clock(Domain& domain) {
    const uint64_t epoch = wall_clock_epoch();
    const LockGuard guard(domain.control_lock);
    const uint64_t seconds =
        epoch / kNanosecondsPerSecond + static_cast<uint64_t>(domain.time_offset_seconds);
    if (domain.shared_info == nullptr) return;
    abi::SharedInfo& shared = *domain.shared_info;
    // Odd while it changes. The guest may have written anything there, so the next even number is made, not
    // assumed.
    const uint32_t version = read_once(shared.wc_version) | 1;
    write_once(shared.wc_version, version);
    std::atomic_thread_fence(std::memory_order_release);
    write_once(shared.wc_sec, static_cast<uint32_t>(seconds));
    write_once(shared.wc_sec_hi, static_cast<uint32_t>(seconds >> 32));
    write_once(shared.wc_nsec, static_cast<uint32_t>(epoch % kNanosecondsPerSecond));
    std::atomic_thread_fence(std::memory_order_release);
    write_once(shared.wc_version, version + 1);
}

void publish_wall_clock_everywhere() {
    DomId next{0};
    while (Domain* const found = next_domain(next)) {
        const DomainRef domain(found);
        publish_wall_clock(*domain);
        next = DomId(static_cast<uint16_t>(domain->id.raw() + 1));
    }
}

}  // namespace torii
