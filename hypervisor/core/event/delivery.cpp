// From a sender to the bit that the guest sees: sending, the two-level layout, unmasking, polling.
#include "core/event/event_channel.h"
#include "core/event/guest_bits.h"

namespace torii {

Result<> EventTable::send(Port port) {
    PortEntry* const entry = find(port.raw());
    if (entry == nullptr) [[unlikely]]
        return Errno::kEINVAL;
    const PortUse use(*entry);
    switch (use.kind()) {
        case PortKind::kInterdomain:
            entry->table->deliver(*entry->peer, entry->number);
            return {};
        case PortKind::kIpi:
            deliver(*entry, port.raw());
            return {};
        case PortKind::kUnbound:
        case PortKind::kClosing:
            return {};  // nobody is there to hear it
        default:
            return Errno::kEINVAL;
    }
}

void EventTable::raise_virq(EventVcpu& vcpu, abi::Virq virq) {
    const uint32_t port = vcpu.virq_port[static_cast<uint32_t>(virq)].load(std::memory_order_acquire);
    if (port == 0) return;
    PortEntry* const entry = find(port);
    if (entry == nullptr) return;
    const PortUse use(*entry);
    // The port may have been closed, and even bound to something else, since it was looked up.
    if (use.kind() != PortKind::kVirq || entry->number != static_cast<uint32_t>(virq)) return;
    deliver(*entry, port);
}

void EventTable::raise_global_virq(abi::Virq virq) {
    if (EventVcpu* const first = vcpu(0); first != nullptr) raise_virq(*first, virq);
}

EventVcpu* EventTable::raise_pirq(uint32_t pirq) {
    std::atomic<uint32_t>* const ports = pirq_ports_.load(std::memory_order_acquire);
    if (ports == nullptr || pirq >= kMostPirqs) return nullptr;
    const uint32_t port = ports[pirq].load(std::memory_order_acquire);
    PortEntry* const entry = find(port);
    if (port == 0 || entry == nullptr) return nullptr;
    const PortUse use(*entry);
    if (use.kind() != PortKind::kPirq || entry->number != pirq) return nullptr;
    deliver(*entry, port);
    return notified_by(*entry);
}

void EventTable::deliver(PortEntry& entry, uint32_t port) {
    if (FifoState* const fifo = fifo_.load(std::memory_order_acquire); fifo != nullptr) {
        deliver_fifo(*fifo, entry, port);
    } else {
        deliver_two_level(entry, port);
    }
}

// Pending bit, then mask, then the vCPU's selector bit, then its upcall: each step only if it changes
// something.
void EventTable::deliver_two_level(PortEntry& entry, uint32_t port) {
    const uint32_t word = port / 64 % abi::kEventWords;
    if (test_and_set_bit(shared_->evtchn_pending[word], port % 64)) return;
    if (!test_bit(shared_->evtchn_mask[word], port % 64)) {
        EventVcpu* const vcpu = notified_by(entry);
        abi::VcpuInfo* const info = vcpu == nullptr ? nullptr : vcpu->info.load(std::memory_order_acquire);
        if (info != nullptr && !test_and_set_bit(info->evtchn_pending_sel, word)) vcpu->mark_upcall_pending();
    }
    wake_pollers(port);
}

void EventTable::unmask_entry(PortEntry& entry, uint32_t port) {
    if (FifoState* const fifo = fifo_.load(std::memory_order_acquire); fifo != nullptr) {
        abi::FifoEventWord* const event_word = fifo->word(port);
        if (event_word == nullptr) return;
        test_and_clear_bit(*event_word, abi::kFifoMaskedBit);
        if (test_bit(*event_word, abi::kFifoPendingBit)) deliver_fifo(*fifo, entry, port);
        return;
    }
    const uint32_t word = port / 64 % abi::kEventWords;
    if (!test_and_clear_bit(shared_->evtchn_mask[word], port % 64)) return;
    if (!test_bit(shared_->evtchn_pending[word], port % 64)) return;
    EventVcpu* const vcpu = notified_by(entry);
    abi::VcpuInfo* const info = vcpu == nullptr ? nullptr : vcpu->info.load(std::memory_order_acquire);
    if (info != nullptr && !test_and_set_bit(info->evtchn_pending_sel, word)) vcpu->mark_upcall_pending();
}

Result<> EventTable::unmask(Port port) {
    PortEntry* const entry = find(port.raw());
    if (entry == nullptr) return Errno::kEINVAL;
    {
        const PortUse use(*entry);
        if (use.kind() != PortKind::kFree && use.kind() != PortKind::kClosing) {
            unmask_entry(*entry, port.raw());
            return {};
        }
    }
    // Nothing but the lock keeps a free port's event word in place.
    LockGuard guard(lock_);
    unmask_entry(*entry, port.raw());
    return {};
}

// ---- polling

bool EventTable::is_pending(uint32_t port) const {
    if (const FifoState* const fifo = fifo_.load(std::memory_order_relaxed); fifo != nullptr) {
        const abi::FifoEventWord* const word = fifo->word(port);
        return word != nullptr && test_bit(*word, abi::kFifoPendingBit);
    }
    return test_bit(shared_->evtchn_pending[port / 64 % abi::kEventWords], port % 64);
}

Result<bool> EventTable::start_polling(EventVcpu& vcpu, std::span<const abi::RawPort> ports) {
    // The lock keeps the event array in place while we read it; senders don't take it.
    LockGuard guard(lock_);
    const uint32_t capacity = uses_fifo() ? kMostPorts : abi::kEventChannels2L;
    for (const abi::RawPort port : ports) {
        if (port >= capacity) return Errno::kEINVAL;
    }
    // Announce first, look second; a sender sets the bit first and looks for pollers second. So one of the
    // two sees the other.
    const bool one_port = ports.size() == 1 && ports[0] != EventVcpu::kPollsNothing;
    vcpu.polls.store(one_port ? ports[0] : EventVcpu::kPollsSeveral);
    pollers_.fetch_add(1);
    for (const abi::RawPort port : ports) {
        if (is_pending(port)) return true;
    }
    return false;
}

void EventTable::stop_polling(EventVcpu& vcpu) {
    if (vcpu.polls.exchange(EventVcpu::kPollsNothing) != EventVcpu::kPollsNothing) pollers_.fetch_sub(1);
}

void EventTable::wake_pollers(uint32_t port) {
    if (pollers_.load() == 0) [[likely]]
        return;
    for (EventVcpu* const vcpu : vcpus_) {
        if (vcpu == nullptr) continue;
        const uint32_t polls = vcpu->polls.load(std::memory_order_relaxed);
        if (polls != port && polls != EventVcpu::kPollsSeveral) continue;
        stop_polling(*vcpu);
        event_wake_poller(*vcpu);
    }
}

// ---- the vCPU's information

void EventVcpu::move_info(abi::VcpuInfo& fresh) {
    if (const abi::VcpuInfo* const old = info.load(std::memory_order_relaxed); old != nullptr) {
        // The guest may write to the old one while it is copied; it can fool only itself.
        __builtin_memcpy(&fresh, old, sizeof(fresh));
    } else {
        fresh = {};
        fresh.evtchn_upcall_mask = 1;
    }
    info.store(&fresh);
    // A sender may have marked the old place after the copy. So the guest is told that anything may be
    // pending: it looks at all ports and loses none.
    if (!table->uses_fifo()) __atomic_store_n(&fresh.evtchn_pending_sel, ~uint64_t{0}, __ATOMIC_SEQ_CST);
    __atomic_store_n(&fresh.evtchn_upcall_pending, uint8_t{0}, __ATOMIC_SEQ_CST);
    mark_upcall_pending();
}

}  // namespace torii
