// Creating domains and vCPUs, stopping them, and saying why.
#include "core/domain/domain.h"

#include <torii/abi/virq.h>

#include <cstring>

#include "base/log.h"
#include "base/scope_guard.h"
#include "core/call/counters.h"
#include "core/domain/registry.h"
#include "core/event/global_virq.h"
#include "core/memory/heap.h"
#include "core/memory/reservation.h"
#include "core/trace/trace_dump.h"
#include "port/frames.h"
#include "port/machine.h"
#include "port/platform.h"

namespace torii {
namespace {

// The arrays that the parts index by vCPU id.
Result<> allocate_vcpu_slots(Domain& domain, uint32_t count) {
    domain.vcpus = static_cast<Published<Vcpu>*>(TRY(heap_allocate(count * sizeof(Published<Vcpu>))));
    domain.event_vcpus =
        static_cast<Published<EventVcpu>*>(TRY(heap_allocate(count * sizeof(Published<EventVcpu>))));
    domain.vcpu_count = count;
    return {};
}

Result<> allocate_parts(Domain& domain, const DomainLimits& limits) {
    TRY(allocate_vcpu_slots(domain, limits.vcpus));
    domain.shared_info_frame = TRY(allocate_shared_frame(domain));
    domain.shared_info = static_cast<abi::SharedInfo*>(direct_address(domain.shared_info_frame));
    TRY(domain.grants.create(domain.id, limits.grant_frames, limits.maptrack_frames));
    domain.events.attach(domain.id, *domain.shared_info,
                         std::span<const Published<EventVcpu>>(domain.event_vcpus, domain.vcpu_count));
    domain.events.limit_ports(limits.event_ports);
    return {};
}

void free_vcpu(Vcpu& vcpu) {
    destroy_vcpu_platform(vcpu);
    heap_free(vcpu.pv.gates);
    heap_free(vcpu.trace.entries);
    heap_delete(&vcpu);
}

}  // namespace

Result<Domain*> create_domain(DomId id, const DomainLimits& limits, bool privileged) {
    if (limits.vcpus == 0 || limits.vcpus > kMaxVcpusPerDomain) return Errno::kEINVAL;
    Domain* const domain = TRY(heap_new<Domain>(id));
    domain->privileged = privileged;
    domain->pauses.store(1, std::memory_order_relaxed);  // whoever builds it lets it go
    domain->created_at = now();
    // It takes its id now, and is found by nobody before it has all its parts.
    domain->references.store(0, std::memory_order_relaxed);
    if (const Result<> joined = domain->sched.join(limits.cpu_pool); !joined.ok()) {
        heap_delete(domain);
        return joined.error();
    }
    if (const Result<> registered = register_domain(*domain); !registered.ok()) {
        domain->sched.leave();
        heap_delete(domain);
        return registered.error();
    }
    const Result<> parts = allocate_parts(*domain, limits);
    domain->references.store(1, std::memory_order_release);
    if (!parts.ok()) {
        domain->life.store(Life::kDying, std::memory_order_release);
        // A domain this young has nothing that needs more than one step, but the loop costs nothing.
        while (destroy_domain(*domain).error() == Errno::kERESTART) {
        }
        return parts.error();
    }
    return domain;
}

Result<Vcpu*> create_vcpu(Domain& domain, VcpuId id) {
    if (id.raw() >= domain.vcpu_count) return Errno::kEINVAL;
    if (domain.vcpus[id.raw()] != nullptr) return Errno::kEEXIST;
    Vcpu* const vcpu = TRY(heap_new<Vcpu>());
    ScopeGuard undo([vcpu] { free_vcpu(*vcpu); });
    vcpu->domain = &domain;
    vcpu->id = id;
    vcpu->pv.gates = static_cast<pv::TrapGate*>(TRY(heap_allocate(pv::kVectors * sizeof(pv::TrapGate))));
    vcpu->trace.entries =
        static_cast<TraceEntry*>(TRY(heap_allocate(TraceRing::kEntries * sizeof(TraceEntry))));
    TRY(create_vcpu_platform(*vcpu));
    vcpu->events.table = &domain.events;
    vcpu->events.id = id;
    if (id.raw() < abi::kLegacyMaxVcpus) {
        // A kernel starts with events masked (public xen.h).
        domain.shared_info->vcpu_info[id.raw()].evtchn_upcall_mask = 1;
        vcpu->events.info.store(&domain.shared_info->vcpu_info[id.raw()]);
    }
    vcpu->unit.clock.begin(now());
    sched_place(vcpu->unit, domain.sched, now());
    if (domain.pauses.load(std::memory_order_relaxed) != 0) sched_pause(vcpu->unit);
    undo.dismiss();
    domain.event_vcpus[id.raw()].publish(vcpu->events);
    domain.vcpus[id.raw()].publish(*vcpu);
    return vcpu;
}

void free_domain(Domain& domain) {
    unregister_domain(domain);
    domain.sched.close();
    for (uint32_t i = 0; i < domain.vcpu_count; ++i) {
        if (domain.vcpus[i] == nullptr) continue;
        sched_remove(domain.vcpus[i]->unit);
        free_vcpu(*domain.vcpus[i]);
    }
    heap_free(domain.vcpus);
    heap_free(domain.event_vcpus);
    heap_free(domain.io.port_bits);
    heap_delete(&domain);
    global_virqs.raise(abi::Virq::kDomExc);
}

void stop_vcpu(Vcpu& vcpu) {
    sched_pause(vcpu.unit);
    __atomic_fetch_or(&vcpu.entry.exit_work, kWorkStop, __ATOMIC_RELAXED);
    poke(vcpu);
}

void pause_domain(Domain& domain) {
    if (domain.pauses.fetch_add(1) != 0) return;
    for (uint32_t i = 0; i < domain.vcpu_count; ++i) {
        if (domain.vcpus[i] != nullptr) stop_vcpu(*domain.vcpus[i]);
    }
}

void unpause_domain(Domain& domain) {
    if (domain.pauses.fetch_sub(1) != 1) return;
    Life building = Life::kBuilding;
    domain.life.compare_exchange_strong(building, Life::kAlive);
    for (uint32_t i = 0; i < domain.vcpu_count; ++i) {
        if (domain.vcpus[i] != nullptr) sched_unpause(domain.vcpus[i]->unit);
    }
}

void shut_down_domain(Domain& domain, uint32_t code) {
    const uint32_t latched = domain.latched_shutdown_code.load(std::memory_order_relaxed);
    if (latched != Domain::kNoCode) code = latched;
    uint32_t running = 0;
    if (!domain.shutdown.compare_exchange_strong(running, code | Domain::kShutDown)) return;
    const bool crashed = code == static_cast<uint32_t>(abi::ShutdownReason::kCrash);
    if (const Vcpu* const vcpu = current_vcpu(); crashed && vcpu != nullptr && vcpu->domain == &domain)
        dump_trace(*vcpu);
    if (domain.id == kDom0) shut_down_machine(code);
    for (uint32_t i = 0; i < domain.vcpu_count; ++i) {
        if (domain.vcpus[i] != nullptr) stop_vcpu(*domain.vcpus[i]);
    }
    global_virqs.raise(abi::Virq::kDomExc);
}

void resume_domain(Domain& domain) {
    if (domain.shutdown.exchange(0) == 0) return;
    domain.latched_shutdown_code.store(Domain::kNoCode, std::memory_order_relaxed);
    for (uint32_t i = 0; i < domain.vcpu_count; ++i) {
        if (domain.vcpus[i] != nullptr) sched_unpause(domain.vcpus[i]->unit);
    }
}

void kill_domain_text(Domain& domain, std::string_view reason) {
    if (domain.crashing.exchange(true)) return;
    count_event(EventKind::kDomainKilled);
    const size_t length =
        reason.size() < sizeof(domain.crash_reason) ? reason.size() : sizeof(domain.crash_reason) - 1;
    memcpy(domain.crash_reason, reason.data(), length);
    domain.crash_reason[length] = 0;
    domain.crashed.store(true, std::memory_order_release);
    log(LogLevel::kError, "d{} killed: {}", domain.id, std::string_view(domain.crash_reason, length));
    shut_down_domain(domain, static_cast<uint32_t>(abi::ShutdownReason::kCrash));
}

}  // namespace torii
