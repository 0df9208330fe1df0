// Which ports exist and what they are bound to.
#include "core/event/event_channel.h"

#include <bit>

#include "base/scope_guard.h"
#include "core/event/guest_bits.h"

namespace torii {

EventTable::EventTable() {
    groups_[0].store(&first_group_, std::memory_order_relaxed);
    mark_free(0, false);  // port 0 means "none" throughout the ABI
}

EventTable::~EventTable() {
    BUG_ON(ports_in_use() != 0);
    leave_fifo();
    while (pins_.load(std::memory_order_acquire) != 0)
        serve_while_waiting();
    for (auto& slot : groups_) {
        PortGroup* const group = slot.load(std::memory_order_relaxed);
        if (group == nullptr) continue;
        for (auto& page : group->pages) {
            if (page.load(std::memory_order_relaxed) != nullptr)
                event_free_page(page.load(std::memory_order_relaxed));
        }
        if (group != &first_group_) event_free_page(group);
    }
    if (pirq_ports_.load(std::memory_order_relaxed) != nullptr) {
        event_free_page(pirq_ports_.load(std::memory_order_relaxed));
    }
}

bool EventTable::is_global(abi::Virq virq) {
    switch (virq) {
        case abi::Virq::kTimer:
        case abi::Virq::kDebug:
        case abi::Virq::kXenoprof:
        case abi::Virq::kXenpmu:
            return false;
        default:
            return true;
    }
}

// ---- free ports: the lowest first, found through two levels of bitmaps

void EventTable::mark_free(uint32_t port, bool free) {
    const uint32_t group_index = port / kPortsPerGroup;
    PortGroup& group = *groups_[group_index].load(std::memory_order_relaxed);
    uint64_t& word = group.free[port % kPortsPerGroup / 64];
    const uint64_t word_bit = uint64_t{1} << port % kPortsPerGroup / 64;
    const uint64_t bit = uint64_t{1} << port % 64;
    word = free ? word | bit : word & ~bit;
    group.words_with_free = word != 0 ? group.words_with_free | word_bit : group.words_with_free & ~word_bit;
    const uint32_t group_bit = 1u << group_index;
    groups_with_free_ =
        group.words_with_free != 0 ? groups_with_free_ | group_bit : groups_with_free_ & ~group_bit;
}

// The lowest free port from `from` on, or kNoPort.
uint32_t EventTable::next_free(uint32_t from) const {
    if (from >= kMostPorts) return kNoPort;
    const uint32_t first_group = from / kPortsPerGroup;
    uint32_t groups = groups_with_free_ & ~0u << first_group;
    for (; groups != 0; groups &= groups - 1) {
        const auto index = static_cast<uint32_t>(std::countr_zero(groups));
        const PortGroup* const group = groups_[index].load(std::memory_order_relaxed);
        const uint32_t start = index == first_group ? from % kPortsPerGroup : 0;
        const uint32_t base = index * kPortsPerGroup;
        if (group == nullptr) return base + start;
        const uint64_t here = group->free[start / 64] & ~uint64_t{0} << start % 64;
        if (here != 0) return base + start / 64 * 64 + static_cast<uint32_t>(std::countr_zero(here));
        const uint64_t later =
            start / 64 == 63 ? 0 : group->words_with_free & ~uint64_t{0} << (start / 64 + 1);
        if (later == 0) continue;
        const auto word = static_cast<uint32_t>(std::countr_zero(later));
        return base + word * 64 + static_cast<uint32_t>(std::countr_zero(group->free[word]));
    }
    return kNoPort;
}

Result<PortEntry*> EventTable::make_entry(uint32_t port) {
    auto& group_slot = groups_[port / kPortsPerGroup];
    PortGroup* group = group_slot.load(std::memory_order_relaxed);
    if (group == nullptr) {
        void* const memory = event_allocate_page();
        if (memory == nullptr) return Errno::kENOMEM;
        group = new (memory) PortGroup;
        group_slot.store(group, std::memory_order_release);
    }
    auto& page_slot = group->pages[port % kPortsPerGroup / kPortsPerPage];
    PortEntry* page = page_slot.load(std::memory_order_relaxed);
    if (page == nullptr) {
        void* const memory = event_allocate_page();
        if (memory == nullptr) return Errno::kENOMEM;
        page = static_cast<PortEntry*>(memory);
        for (unsigned i = 0; i < kPortsPerPage; ++i)
            new (page + i) PortEntry;
        page_slot.store(page, std::memory_order_release);
    }
    return page + port % kPortsPerPage;
}

Result<EventTable::NewPort> EventTable::reserve() {
    if (going_away_) return Errno::kESRCH;
    const FifoState* const fifo = fifo_.load(std::memory_order_relaxed);
    uint32_t highest = highest_port_.load(std::memory_order_relaxed);
    const uint32_t capacity = fifo != nullptr ? kMostPorts : abi::kEventChannels2L;
    if (highest >= capacity) highest = capacity - 1;

    // A closed port that a queue still links must not get a new meaning: the guest would see the old event as
    // one of the new port. Only the guest can take it off the queue, so a guest that never does only narrows
    // its own choice, and the search for a better one is bounded.
    unsigned linked_ports = 0;
    for (uint32_t port = next_free(1); port <= highest; port = next_free(port + 1)) {
        if (fifo != nullptr) {
            const abi::FifoEventWord* const word = fifo->word(port);
            if (word != nullptr && test_bit(*word, abi::kFifoLinkedBit)) {
                if (++linked_ports == kPortsPerGroup) break;
                continue;
            }
        }
        PortEntry* const entry = TRY(make_entry(port));
        return NewPort{entry, port};
    }
    return Errno::kENOSPC;
}

template <class State>
void EventTable::commit(const NewPort& port, const State& state, uint32_t notify_vcpu) {
    mark_free(port.number, false);
    ports_in_use_.fetch_add(1, std::memory_order_relaxed);
    port.entry->notify_vcpu.store(static_cast<uint16_t>(notify_vcpu), std::memory_order_relaxed);
    port.entry->priority.store(abi::kFifoPriorityDefault, std::memory_order_relaxed);
    port.entry->deferred.store(false, std::memory_order_relaxed);
    port.entry->open(state);
}

// ---- binding

Result<Port> EventTable::alloc_unbound(DomId remote) {
    LockGuard guard(lock_);
    const NewPort port = TRY(reserve());
    commit(port, PortUnbound{remote}, 0);
    return Port(port.number);
}

Result<Port> EventTable::bind_interdomain(EventTable& remote, Port remote_port) {
    LockBoth guard(lock_, remote.lock_);
    if (remote.going_away_) return Errno::kESRCH;
    PortEntry* const theirs = remote.find(remote_port.raw());
    if (theirs == nullptr) return Errno::kEINVAL;
    const PortState their_state = theirs->state();
    const auto* const unbound = std::get_if<PortUnbound>(&their_state);
    if (unbound == nullptr || unbound->remote != id_) return Errno::kEINVAL;

    const NewPort mine = TRY(reserve());
    commit(mine, PortInterdomain{&remote, remote_port, theirs}, 0);
    theirs->shut();
    theirs->open(PortInterdomain{this, Port(mine.number), mine.entry});

    // The other side may have sent while nobody listened. Those sends were dropped; this one stands for them.
    deliver(*mine.entry, mine.number);
    return Port(mine.number);
}

Result<Port> EventTable::bind_virq(uint32_t virq, uint32_t vcpu_id) {
    if (virq >= abi::kVirqCount) return Errno::kEINVAL;
    const auto kind = static_cast<abi::Virq>(virq);
    // The ABI wants a global interrupt bound on vCPU 0; bind_vcpu may move its notification afterwards.
    if (is_global(kind) && vcpu_id != 0) return Errno::kEINVAL;
    EventVcpu* const target = vcpu(vcpu_id);
    if (target == nullptr) return Errno::kENOENT;

    LockGuard guard(lock_);
    std::atomic<uint32_t>& binding = target->virq_port[bounded(virq, abi::kVirqCount)];
    if (binding.load(std::memory_order_relaxed) != 0) return Errno::kEEXIST;
    const NewPort port = TRY(reserve());
    commit(port, PortVirq{kind}, vcpu_id);
    binding.store(port.number, std::memory_order_release);
    return Port(port.number);
}

Result<Port> EventTable::bind_ipi(uint32_t vcpu_id) {
    if (vcpu(vcpu_id) == nullptr) return Errno::kENOENT;
    LockGuard guard(lock_);
    const NewPort port = TRY(reserve());
    commit(port, PortIpi{}, vcpu_id);
    return Port(port.number);
}

Result<Port> EventTable::bind_pirq(uint32_t pirq) {
    LockGuard guard(lock_);
    if (pirq >= pirq_limit_) return Errno::kEINVAL;
    std::atomic<uint32_t>* ports = pirq_ports_.load(std::memory_order_relaxed);
    if (ports == nullptr) {
        // A zeroed page is an array of atomics that hold 0.
        ports = static_cast<std::atomic<uint32_t>*>(event_allocate_page());
        if (ports == nullptr) return Errno::kENOMEM;
        pirq_ports_.store(ports, std::memory_order_release);
    }
    std::atomic<uint32_t>& binding = ports[bounded<kMostPirqs>(pirq)];
    if (binding.load(std::memory_order_relaxed) != 0) return Errno::kEEXIST;
    const NewPort port = TRY(reserve());
    commit(port, PortPirq{pirq}, 0);
    binding.store(port.number, std::memory_order_release);
    return Port(port.number);
}

// ---- closing

void EventTable::forget_pending(PortEntry& entry, uint32_t port) {
    entry.deferred.store(false, std::memory_order_relaxed);
    if (const FifoState* const fifo = fifo_.load(std::memory_order_relaxed); fifo != nullptr) {
        abi::FifoEventWord* const word = fifo->word(port);
        if (word != nullptr) test_and_clear_bit(*word, abi::kFifoPendingBit);
    } else {
        test_and_clear_bit(shared_->evtchn_pending[port / 64 % abi::kEventWords], port % 64);
    }
}

// Takes the interrupt that `state` is bound to away from the port. `entry` tells the vCPU it notifies.
void EventTable::unbind(const PortState& state, const PortEntry& entry) {
    if (const auto* const virq = std::get_if<PortVirq>(&state); virq != nullptr) {
        EventVcpu* const holder = is_global(virq->virq) ? vcpu(0) : notified_by(entry);
        holder->virq_port[static_cast<uint32_t>(virq->virq)].store(0, std::memory_order_relaxed);
    } else if (const auto* const pirq = std::get_if<PortPirq>(&state); pirq != nullptr) {
        pirq_ports_.load(std::memory_order_relaxed)[pirq->pirq].store(0, std::memory_order_relaxed);
        event_pirq_closed(*this, pirq->pirq);
    }
}

// lock_ held, the peer's table's too for an interdomain port, and the port isn't free.
void EventTable::close_entry(PortEntry& entry, uint32_t port) {
    const PortState state = entry.state();
    unbind(state, entry);
    entry.shut();
    if (const auto* const pair = std::get_if<PortInterdomain>(&state); pair != nullptr) {
        pair->peer->shut();
        pair->peer->open(PortUnbound{id_});
    }
    forget_pending(entry, port);
    entry.open(PortFree{});
    mark_free(port, true);
    ports_in_use_.fetch_sub(1, std::memory_order_relaxed);
}

Result<> EventTable::close(Port port) {
    for (;;) {
        LockGuard guard(lock_);
        PortEntry* const entry = find(port.raw());
        if (entry == nullptr || entry->kind() == PortKind::kFree) return Errno::kEINVAL;
        const PortState state = entry->state();
        const auto* const pair = std::get_if<PortInterdomain>(&state);
        if (pair == nullptr || pair->table == this) {
            close_entry(*entry, port.raw());
            return {};
        }
        // Both locks, and they have an order. While ours is held our port keeps the peer's table alive; the
        // pin does from here to the end, beyond the unlocking.
        EventTable& remote = *pair->table;
        remote.pins_.fetch_add(1, std::memory_order_relaxed);
        const ScopeGuard unpin([&remote] { remote.pins_.fetch_sub(1, std::memory_order_release); });
        guard.unlock();
        LockBoth both(lock_, remote.lock_);
        const PortState now = entry->state();
        const auto* const same = std::get_if<PortInterdomain>(&now);
        // Closed from the other side meanwhile, or even bound anew: look again.
        if (same == nullptr || same->table != &remote) continue;
        close_entry(*entry, port.raw());
        return {};
    }
}

bool EventTable::reset(uint32_t budget, bool from_start) {
    uint32_t port = from_start ? 1 : close_cursor_.load(std::memory_order_relaxed);
    while (port < kMostPorts && ports_in_use() != 0) {
        if (budget-- == 0) {
            close_cursor_.store(port, std::memory_order_relaxed);
            return false;
        }
        if (find(port) == nullptr) {
            port = (port / kPortsPerPage + 1) * kPortsPerPage;
            continue;
        }
        (void)close(Port(port));  // kEINVAL: it is free, which is what we want
        ++port;
    }
    leave_fifo();
    return true;
}

bool EventTable::close_all(uint32_t budget) {
    bool first;
    {
        LockGuard guard(lock_);
        first = !going_away_;
        going_away_ = true;
    }
    return reset(budget, first);
}

// ---- attributes

Result<> EventTable::bind_vcpu(Port port, uint32_t vcpu_id) {
    if (vcpu(vcpu_id) == nullptr) return Errno::kENOENT;
    LockGuard guard(lock_);
    PortEntry* const entry = find(port.raw());
    if (entry == nullptr) return Errno::kEINVAL;
    const PortState state = entry->state();
    if (const auto* const virq = std::get_if<PortVirq>(&state); virq != nullptr) {
        // One per vCPU, bound for good: unbind() relies on it, too.
        if (!is_global(virq->virq)) return Errno::kEINVAL;
    } else if (std::holds_alternative<PortFree>(state) || std::holds_alternative<PortIpi>(state)) {
        return Errno::kEINVAL;
    }
    entry->notify_vcpu.store(static_cast<uint16_t>(vcpu_id), std::memory_order_relaxed);
    return {};
}

Result<> EventTable::status(Port port, abi::EventStatus& out) {
    LockGuard guard(lock_);
    PortEntry* const entry = find(port.raw());
    if (entry == nullptr) return Errno::kEINVAL;
    out.u = {};
    out.vcpu = entry->kind() == PortKind::kFree ? 0 : entry->notify_vcpu.load(std::memory_order_relaxed);

    struct Describe {
        abi::EventStatus& out;
        abi::EventStatusKind operator()(PortFree) { return abi::EventStatusKind::kClosed; }
        abi::EventStatusKind operator()(const PortUnbound& s) {
            out.u.unbound.dom = s.remote.raw();
            return abi::EventStatusKind::kUnbound;
        }
        abi::EventStatusKind operator()(const PortInterdomain& s) {
            out.u.interdomain = {.dom = s.table->id().raw(), .padding = 0, .port = s.port.raw()};
            return abi::EventStatusKind::kInterdomain;
        }
        abi::EventStatusKind operator()(const PortVirq& s) {
            out.u.virq = static_cast<uint32_t>(s.virq);
            return abi::EventStatusKind::kVirq;
        }
        abi::EventStatusKind operator()(PortIpi) { return abi::EventStatusKind::kIpi; }
        abi::EventStatusKind operator()(const PortPirq& s) {
            out.u.pirq = s.pirq;
            return abi::EventStatusKind::kPirq;
        }
    };
    out.status = static_cast<uint32_t>(std::visit(Describe{out}, entry->state()));
    return {};
}

Result<> EventTable::set_priority(Port port, uint32_t priority) {
    LockGuard guard(lock_);
    PortEntry* const entry = find(port.raw());
    if (entry == nullptr) return Errno::kEINVAL;
    if (!uses_fifo()) return Errno::kENOSYS;
    if (priority > abi::kFifoPriorityMin) return Errno::kEINVAL;
    entry->priority.store(static_cast<uint8_t>(priority), std::memory_order_relaxed);
    return {};
}

}  // namespace torii
