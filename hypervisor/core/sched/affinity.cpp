// Where units may run.
#include "core/sched/scheduler.h"
#include "port/machine.h"

namespace torii {

[[gnu::cold]] void Affinity::hard(CpuMask& cpus) const {
    // The pin for the time being is not what was set.
    const bool bound = unit_.pinned_ ? unit_.bound_before_ : unit_.bound_;
    if (bound) {
        cpus.assign(unit_.hard_);
    } else {
        cpus.assign_first(cpu_count());
    }
}

[[gnu::cold]] void Affinity::soft(CpuMask& cpus) const {
    if (unit_.prefers_) {
        cpus.assign(unit_.soft_);
    } else {
        cpus.assign_first(cpu_count());
    }
}

[[gnu::cold]] void Affinity::effective_hard(CpuMask& cpus) const {
    cpus.assign(unit_.group_->pool().cpus);
    if (!unit_.bound_) return;
    if (!unit_.pinned_) return cpus.keep(unit_.hard_);
    cpus.clear();
    cpus.add(unit_.pinned_to_);
}

[[gnu::cold]] Result<> Affinity::check(const CpuMask& cpus, bool hard) const {
    if (!cpus.intersects(unit_.group_->pool().cpus)) return Errno::kEINVAL;
    if (hard && unit_.pinned_) return Errno::kEBUSY;
    return {};
}

[[gnu::cold]] void Affinity::set_hard(const CpuMask& cpus) {
    RunQueue::at_home(unit_, [&](RunQueue&) {
        unit_.hard_.assign(cpus);
        unit_.bound_ = cpus.count() < cpu_count();
    });
    RunQueue::relocate(unit_);
}

[[gnu::cold]] void Affinity::set_soft(const CpuMask& cpus) {
    RunQueue::at_home(unit_, [&](RunQueue&) {
        unit_.soft_.assign(cpus);
        unit_.prefers_ = cpus.count() < cpu_count();
    });
}

[[gnu::cold]] void Affinity::reset() {
    RunQueue::at_home(unit_, [&](RunQueue&) {
        unit_.bound_ = false;
        unit_.bound_before_ = false;
        unit_.pinned_ = false;
        unit_.prefers_ = false;
    });
}

[[gnu::cold]] Result<> Affinity::pin(CpuId cpu) {
    if (!unit_.group_->pool().cpus.contains(cpu)) return Errno::kEINVAL;
    if (unit_.pinned_) {
        if (unit_.pinned_to_ == cpu) return {};
        return Errno::kEBUSY;
    }
    RunQueue::at_home(unit_, [&](RunQueue&) {
        unit_.bound_before_ = unit_.bound_;
        unit_.bound_ = true;
        unit_.pinned_ = true;
        unit_.pinned_to_ = cpu;
    });
    RunQueue::relocate(unit_);
    return {};
}

[[gnu::cold]] void Affinity::unpin() {
    if (!unit_.pinned_) return;
    RunQueue::at_home(unit_, [&](RunQueue&) {
        unit_.bound_ = unit_.bound_before_;
        unit_.pinned_ = false;
    });
    RunQueue::relocate(unit_);
}

[[gnu::cold]] bool Affinity::only_cpu(CpuId& cpu) const {
    if (!unit_.bound_) return false;
    if (unit_.pinned_) {
        cpu = unit_.pinned_to_;
        return true;
    }
    const CpuMask& pool = unit_.group_->pool().cpus;
    bool found = false;
    for (unsigned i = 0; i < cpu_mask_words; ++i) {
        const uint64_t bits = unit_.hard_.word(i) & pool.word(i);
        if (bits == 0) continue;
        if (found || (bits & (bits - 1)) != 0) return false;
        found = true;
        cpu = CpuId(i * 64 + static_cast<unsigned>(__builtin_ctzll(bits)));
    }
    return found;
}

[[gnu::cold]] void Affinity::prepare_loss(CpuId cpu) {
    if (!unit_.bound_ || unit_.pinned_) {
        // Who is pinned keeps the CPU from going, but what it was bound to before must not become empty.
        if (!unit_.bound_before_ || !unit_.pinned_) return;
    }
    const CpuMask& pool = unit_.group_->pool().cpus;
    for (unsigned i = 0; i < cpu_mask_words; ++i) {
        uint64_t bits = unit_.hard_.word(i) & pool.word(i);
        if (i == cpu.raw() / 64) bits &= ~(uint64_t{1} << (cpu.raw() % 64));
        if (bits != 0) return;
    }
    RunQueue::at_home(unit_, [&](RunQueue&) {
        if (unit_.pinned_) {
            unit_.bound_before_ = false;
        } else {
            unit_.bound_ = false;
        }
    });
}

}  // namespace torii
