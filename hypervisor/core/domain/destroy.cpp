// The end of a domain, in steps that can be preempted. Each step may be entered any number of times.
//
// Order: nothing new can begin (life), then no vCPU runs, then nobody can reach it (ports, its own grant
// maps), then what its vCPUs hold, then its page tables, then its frames. What others still hold of it keeps
// it in the registry as dying.
#include "arch/x86/pv/address_space.h"
#include "arch/x86/pv/descriptor_tables.h"
#include "arch/x86/pv/page_type.h"
#include "base/once.h"
#include "core/domain/domain.h"
#include "core/domain/vcpu_info.h"
#include "core/event/global_virq.h"
#include "core/grant/release.h"
#include "core/interrupt/interrupts.h"
#include "core/memory/reservation.h"
#include "port/machine.h"
#include "port/platform.h"

namespace torii {
namespace {

constexpr uint32_t kPortsPerStep = 4096;
constexpr uint32_t kFramesPerStep = 2048;
constexpr uint32_t kGrantsPerStep = 256;

Result<> again_unless(bool finished) {
    if (!finished) return Errno::kERESTART;
    return {};
}

Result<> stop_vcpus(Domain& domain) {
    bool running = false;
    for (uint32_t i = 0; i < domain.vcpu_count; ++i) {
        Vcpu* const vcpu = domain.vcpus[i];
        if (vcpu != nullptr && vcpu->unit.is_running()) {
            poke(*vcpu);
            running = true;
        }
    }
    return again_unless(!running);
}

Result<> close_events(Domain& domain) {
    global_virqs.forget(domain.events);
    if (!domain.events.close_all(kPortsPerStep)) return Errno::kERESTART;
    device_interrupts.unmap_all(domain.id);
    return {};
}

Result<> release_grants(Domain& domain) {
    Budget budget(kGrantsPerStep);
    return release_all_grants(domain, budget);
}

Result<> release_vcpus(Domain& domain) {
    domain.watchdogs.stop_all();
    for (uint32_t i = 0; i < domain.vcpu_count; ++i) {
        Vcpu* const vcpu = domain.vcpus[i];
        if (vcpu == nullptr) continue;
        vcpu->timers.stop_all();
        forget_vcpu_on_cpus(*vcpu);
        pv::release_ldt_pages(*vcpu);
        pv::release_gdt_pages(*vcpu);
        pv::release_roots(*vcpu);
        release_vcpu_info(*vcpu);
    }
    return {};
}

// Unpins and unvalidates one frame, as far as the budget goes. It may have become somebody else's meanwhile.
Result<> release_table(Domain& domain, Frame& frame, Budget& budget) {
    const LockGuard guard(domain.page_table_lock);
    TRY(pv::finish_undo(domain, budget));
    const TypeWord word = frame.type_word();
    if (word.pinned() && frame.owner() == domain.id) {
        TRY(pv::unpin_table(domain, mfn_of(frame)));
    } else if (word.partial() && frame.owner() == domain.id) {
        pv::abandon_partial(domain, frame);
    }
    return pv::finish_undo(domain, budget);
}

bool is_held_table(const Frame& frame) {
    return frame.type_word().pinned() || frame.type_word().partial();
}

// The frames that the domain still holds stand first in its list.
Result<> release_frames(Domain& domain) {
    Budget budget(pv::kTablesPerCall);
    for (uint32_t i = 0; i < kFramesPerStep; ++i) {
        Frame* const frame = first_held_frame(domain);
        if (frame == nullptr) return {};
        if (is_held_table(*frame)) TRY(release_table(domain, *frame, budget));
        if (give_up_some_frames(domain, 1) == 0) return {};
    }
    return Errno::kERESTART;
}

// Behind them: frames given up earlier that are page tables still, because the guest pinned them.
Result<> release_remaining_tables(Domain& domain) {
    Budget budget(pv::kTablesPerCall);
    {
        const LockGuard guard(domain.page_table_lock);
        TRY(pv::finish_undo(domain, budget));
    }
    // Others give back frames of this list meanwhile; none comes into it. The hypervisor's own frames in it
    // are those that it shares.
    const uint64_t most = read_once(domain.frame_count) + domain.grants.frame_count() + 1;
    for (uint64_t i = 0; i < most; ++i) {
        Frame* const frame = next_frame_in_turn(domain);
        if (frame == nullptr) break;
        if (is_held_table(*frame)) TRY(release_table(domain, *frame, budget));
    }
    return {};
}

void give_up_shared_info(Domain& domain) {
    domain.sched.leave();
    // The control domain can still name the domain, and sets every clock at times.
    domain.shared_info = nullptr;
    stop_sharing_frame(domain.shared_info_frame);
    domain.shared_info_frame = Mfn{};
}

using Step = Result<> (*)(Domain&);
constexpr Step kSteps[] = {
    stop_vcpus, close_events, release_vcpus, release_frames, release_remaining_tables, release_grants};

constexpr uint32_t kStages = sizeof(kSteps) / sizeof(kSteps[0]);

}  // namespace

Result<> destroy_domain(Domain& domain) {
    // One caller at a time: the control domain may have two that end the same domain.
    LockGuard guard(domain.control_lock);
    if (domain.relinquish_stage > kStages) return {};
    if (domain.life.exchange(Life::kDying) != Life::kDying) pause_domain(domain);
    while (domain.relinquish_stage < kStages) {
        TRY(kSteps[domain.relinquish_stage](domain));
        ++domain.relinquish_stage;
    }
    ++domain.relinquish_stage;  // the rest is done once only
    give_up_shared_info(domain);
    guard.unlock();
    // Last: the domain may be gone when it returns.
    finish_domain_frames(domain);
    return {};
}

}  // namespace torii
