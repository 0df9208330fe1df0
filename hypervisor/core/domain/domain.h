// A domain: what it owns, what it may do, and the stages of its life.
//
// Building -> Running <-> Paused; Running -> Shutdown (it asked, or broke a rule) -> Dying -> gone. A dying
// domain stays in the registry, and its id isn't used again, until its last frame is released by whoever
// still maps it.
#pragma once

#include <torii/abi/basic_types.h>
#include <torii/abi/sched.h>
#include <torii/abi/shared_info.h>

#include <atomic>
#include <string_view>

#include "base/bounded_index.h"
#include "base/cpu_mask.h"
#include "base/format.h"
#include "base/frame.h"
#include "base/ids.h"
#include "base/lock.h"
#include "base/published.h"
#include "base/result.h"
#include "core/domain/vcpu.h"
#include "core/event/event_channel.h"
#include "core/grant/grant_table.h"

namespace torii {

inline constexpr unsigned kMaxVcpusPerDomain = 8192;  // of the ABI; what one domain gets is fixed at creation
inline constexpr DomId kDom0{0};

struct IoRights {
    static constexpr unsigned kPortWords = 65536 / 64;
    uint64_t* port_bits = nullptr;          // kPortWords words, a set bit allows the port; null: none
    bool all_memory = false;                // dom0: every frame that is not RAM
    std::atomic<uint32_t> pci_selector{0};  // what it wrote to port 0xcf8 last
};

enum class Life : uint8_t { kBuilding, kAlive, kDying, kDead };

struct Domain {
    explicit Domain(DomId id) : id(id) {}

    const DomId id;
    bool privileged = false;  // may use the control interfaces
    std::atomic<Life> life{Life::kBuilding};
    // Whether it was shut down, and why, in one word: who sees the one must not miss the other.
    static constexpr uint32_t kShutDown = 1u << 31;  // below: abi::ShutdownReason
    std::atomic<uint32_t> shutdown{0};
    // SCHEDOP_shutdown_code: what a later shutdown will be reported as, whatever it says itself.
    static constexpr uint32_t kNoCode = ~0u;
    std::atomic<uint32_t> latched_shutdown_code{kNoCode};
    // The hypervisor ended it; crash_reason says why, once the second is set. It has one writer: who set the
    // first.
    std::atomic<bool> crashing{false};
    std::atomic<bool> crashed{false};
    char crash_reason[200]{};
    std::atomic<uint32_t> references{1};
    std::atomic<uint32_t> pauses{0};
    abi::DomainHandle handle{};
    uint32_t create_flags = 0;
    uint32_t ssidref = 0;

    uint32_t vcpu_count = 0;  // slots in `vcpus`
    Published<Vcpu>* vcpus = nullptr;
    Published<EventVcpu>* event_vcpus = nullptr;  // the same, for core/event

    Spinlock control_lock{LockRank::kDomainControl};
    Spinlock page_table_lock{LockRank::kPageTables};
    Spinlock page_list_lock{LockRank::kPageAlloc};
    // Under page_list_lock; the two numbers may be read at any time:
    uint32_t undo_first = 0;   // page tables being given up (arch/x86/pv/page_type.h), under page_table_lock
    uint32_t first_frame = 0;  // all frames with kAllocated or in use still, linked through the frame table
    uint64_t frame_count = 0;
    uint64_t frame_limit = 0;
    std::atomic<uint64_t> hypervisor_frames{0};  // memory of the hypervisor spent on this domain

    // Null before the domain has its parts and once it is dead: whoever isn't sure that it is alive looks
    // under control_lock.
    abi::SharedInfo* shared_info = nullptr;
    Mfn shared_info_frame{};

    SchedGroup sched;  // weight, cap and CPU pool; weight and cap under control_lock
    EventTable events;
    GrantTable grants;
    DomainWatchdogs watchdogs{*this};  // under control_lock
    IoRights io;
    uint64_t vm_assist = 0;  // changed bit by bit, by any of its vCPUs
    CpuMask dirty_cpus;      // CPUs that may hold translations of this domain
    Nanoseconds created_at = 0;
    int64_t time_offset_seconds = 0;
    uint32_t address_size = 64;
    uint32_t relinquish_stage = 0;  // where destruction goes on after a preemption
    uint64_t tsc_mode = 0;

    [[nodiscard]] bool is_shut_down() const { return shutdown.load() != 0; }
    [[nodiscard]] uint32_t shutdown_code() const { return shutdown.load() & ~kShutDown; }
    [[nodiscard]] Vcpu* vcpu(VcpuId vcpu_id) const {
        return vcpu_id.raw() < vcpu_count ? vcpus[bounded(vcpu_id.raw(), vcpu_count)].get() : nullptr;
    }
};

// --- life cycle (domain.cpp) ---
struct DomainLimits {
    uint32_t vcpus = 1;
    uint32_t event_ports = 1024;
    uint32_t grant_frames = 64;
    uint32_t maptrack_frames = 1024;
    uint32_t cpu_pool = 0;
};
// A new domain without memory or vCPUs, in the registry. EEXIST when the id is taken, EINVAL when the pool
// doesn't exist or has no CPUs, ENOMEM.
[[nodiscard]] Result<Domain*> create_domain(DomId id, const DomainLimits& limits, bool privileged);
// A vCPU for slot `id`. EEXIST when it is filled.
[[nodiscard]] Result<Vcpu*> create_vcpu(Domain& domain, VcpuId id);
// Starts or continues the end of a domain; ERESTART while there is more to do. The id stays taken until the
// last frame is back.
[[nodiscard]] Result<> destroy_domain(Domain& domain);

void pause_domain(Domain& domain);
void unpause_domain(Domain& domain);
// The domain asked to stop, or was made to: all its vCPUs stop, dom0 is told.
void shut_down_domain(Domain& domain, uint32_t code);
// Takes a shutdown back (domctl resumedomain).
void resume_domain(Domain& domain);
// Ends a guest that broke a rule of the ABI: logs one line that names it, stops the domain. Returns normally;
// the guest never runs again.
void kill_domain_text(Domain& domain, std::string_view reason);
template <class... Args>
[[gnu::cold]] void kill_domain(Domain& domain, std::string_view format, const Args&... arguments) {
    char text[200];
    const size_t length = format_to(text, format, arguments...);
    kill_domain_text(domain, std::string_view(text, length));
}

// --- registry (registry.cpp) ---
// The domain with its reference count raised, or null. Includes dying ones.
[[nodiscard]] Domain* find_domain(DomId id);
// The domain with the lowest id from `id` on, with a reference, or null.
[[nodiscard]] Domain* next_domain(DomId id);
void put_domain(Domain& domain);

// A reference to a domain as an object.
class [[nodiscard]] DomainRef {
public:
    explicit DomainRef(Domain* adopted) : domain_(adopted) {}
    DomainRef(DomainRef&& other) noexcept : domain_(other.domain_) { other.domain_ = nullptr; }
    DomainRef(const DomainRef&) = delete;
    ~DomainRef() {
        if (domain_ != nullptr) put_domain(*domain_);
    }
    [[nodiscard]] explicit operator bool() const { return domain_ != nullptr; }
    [[nodiscard]] Domain& operator*() const { return *domain_; }
    [[nodiscard]] Domain* operator->() const { return domain_; }

private:
    Domain* domain_;
};

}  // namespace torii
