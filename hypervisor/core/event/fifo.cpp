// The FIFO layout: a word per port in the guest's memory, linked into sixteen queues per vCPU.
//
// How an event is queued (public event_channel.h, and the guest's side in Linux): PENDING is set; if the word
// is neither MASKED nor LINKED, LINKED is set and the port's number goes to the LINK field of the word queued
// last, or, when the guest has taken that one off already, to the queue's head. The guest takes a word off by
// clearing LINKED and LINK in one step, which returns the next port. Both sides use compare-and-exchange
// where the other may write.
#include <bit>

#include "base/scope_guard.h"
#include "core/event/event_channel.h"
#include "core/event/guest_bits.h"

namespace torii {

namespace {

constexpr abi::FifoEventWord kMasked = 1u << abi::kFifoMaskedBit;
constexpr abi::FifoEventWord kLinked = 1u << abi::kFifoLinkedBit;
constexpr abi::FifoEventWord kBusy = 1u << abi::kFifoBusyBit;

constexpr uint32_t queue_number(VcpuId vcpu, uint32_t priority) {
    return vcpu.raw() * abi::kFifoMaxQueues + priority;
}

// Puts `port` behind the word that was queued last. False when the guest has taken that word off its queue,
// which is therefore empty.
bool append(abi::FifoEventWord& last, uint32_t port) {
    // The guest may mask, unmask or acknowledge the event in between. A few tries are enough for one that
    // does it now and then; BUSY asks the others to wait. Whoever ignores BUSY loses events of its own.
    constexpr unsigned kPatience = 4;
    constexpr unsigned kMostTries = 16;
    abi::FifoEventWord seen = read_once(last);
    for (unsigned attempt = 0; attempt < kMostTries; ++attempt) {
        if ((seen & kLinked) == 0) break;
        const abi::FifoEventWord next = (seen & ~(kBusy | abi::kFifoLinkMask)) | port;
        if (__atomic_compare_exchange_n(&last, &seen, next, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
            return true;
        if (attempt == kPatience) seen = __atomic_or_fetch(&last, kBusy, __ATOMIC_SEQ_CST);
    }
    if ((seen & kBusy) != 0) test_and_clear_bit(last, abi::kFifoBusyBit);
    return false;
}

}  // namespace

void EventTable::deliver_fifo(FifoState& fifo, PortEntry& entry, uint32_t port) {
    abi::FifoEventWord* word = fifo.word(port);
    if (word == nullptr) [[unlikely]] {
        // The guest learns a port's number before it can make room for its word, so this happens to good
        // guests. expand_array() publishes the page first and looks for deferred events second, we do it the
        // other way round: one of the two finds the other's work.
        entry.deferred.store(true);
        word = fifo.word(port);
        if (word == nullptr || !entry.deferred.exchange(false)) return;
    }
    const bool was_pending = test_and_set_bit(*word, abi::kFifoPendingBit);
    if ((read_once(*word) & (kMasked | kLinked)) == 0) link(fifo, entry, port, *word);
    if (!was_pending) wake_pollers(port);
}

// The word is pending. Puts it on the queue of the vCPU and priority it is bound to.
void EventTable::link(FifoState& fifo, PortEntry& entry, uint32_t port, abi::FifoEventWord& word) {
    EventVcpu* const vcpu = notified_by(entry);
    abi::FifoControlBlock* const control =
        vcpu == nullptr ? nullptr : vcpu->control.load(std::memory_order_acquire);
    if (control == nullptr) return;  // it stays pending; the vCPU has no queues to put it on
    const uint32_t priority = entry.priority.load(std::memory_order_relaxed);
    const uint32_t queue = queue_number(vcpu->id, priority);
    const uint32_t last_queue = entry.last_queue.load(std::memory_order_relaxed);
    const bool moves = last_queue != queue && last_queue != PortEntry::kNoQueue;
    EventVcpu& last_vcpu = moves ? *vcpus_[last_queue / abi::kFifoMaxQueues] : *vcpu;
    bool was_empty;
    {
        LockBoth guard(vcpu->queue_lock, last_vcpu.queue_lock);
        // If the port was queued elsewhere since we looked, it was after PENDING was set: the guest will find
        // the event there.
        if (entry.last_queue.load(std::memory_order_relaxed) != last_queue) return;
        if (test_and_set_bit(word, abi::kFifoLinkedBit)) return;
        if (moves) {
            // The word was off its old queue. Had it been the last one there, that queue is empty now; if
            // this stayed unsaid, the next event of the old queue would be hung behind this word, which is on
            // another queue.
            uint32_t& old_tail = last_vcpu.tail[last_queue % abi::kFifoMaxQueues];
            if (old_tail == port) old_tail = 0;
        }
        entry.last_queue.store(queue, std::memory_order_relaxed);
        uint32_t& tail = vcpu->tail[priority];
        // `tail == port`: taken off and queued again with nothing in between.
        was_empty = tail == 0 || tail == port || !append(*fifo.word(tail), port);
        if (was_empty) __atomic_store_n(&control->head[priority], port, __ATOMIC_RELEASE);
        tail = port;
    }
    // A queue that wasn't empty is being worked on, or announced already.
    if (was_empty && !test_and_set_bit(control->ready, priority)) vcpu->mark_upcall_pending();
}

// ---- setting up and giving up

Result<FifoState*> EventTable::make_fifo() {
    void* const memory = event_allocate_page();
    if (memory == nullptr) return Errno::kENOMEM;
    return new (memory) FifoState;
}

// The switch to FIFO: what was pending in the two-level layout is raised again as soon as the array has room
// for it.
void EventTable::adopt_two_level_events() {
    for (uint32_t word = 0; word < abi::kEventWords; ++word) {
        for (uint64_t pending = read_once(shared_->evtchn_pending[word]); pending != 0;
             pending &= pending - 1) {
            const uint32_t port = word * 64 + static_cast<uint32_t>(std::countr_zero(pending));
            PortEntry* const entry = find(port);
            if (entry != nullptr && entry->kind() != PortKind::kFree) entry->deferred.store(true);
        }
    }
}

Result<> EventTable::init_control(uint32_t vcpu_id, Mfn frame, uint32_t offset, uint8_t& link_bits) {
    if (offset > kPageSize - sizeof(abi::FifoControlBlock) || offset % 8 != 0) return Errno::kEINVAL;
    EventVcpu* const target = vcpu(vcpu_id);
    if (target == nullptr) return Errno::kENOENT;

    // Pinning takes locks that rank above ours, so it comes first and is undone last.
    const PinnedGuestPage page = TRY(event_pin_guest_page(*this, frame));
    ScopeGuard unpin([this, page] { event_unpin_guest_page(*this, page); });
    LockGuard guard(lock_);
    if (going_away_) return Errno::kESRCH;
    if (leaving_fifo_) return Errno::kEBUSY;
    if (target->control.load(std::memory_order_relaxed) != nullptr) return Errno::kEINVAL;
    if (!uses_fifo()) {
        FifoState* const fifo = TRY(make_fifo());
        adopt_two_level_events();
        fifo_.store(fifo, std::memory_order_release);
    }
    unpin.dismiss();
    target->control_page = page;
    target->control.store(
        reinterpret_cast<abi::FifoControlBlock*>(static_cast<unsigned char*>(page.address) + offset),
        std::memory_order_release);
    link_bits = abi::kFifoLinkBits;
    return {};
}

Result<> EventTable::expand_array(Mfn frame) {
    if (!uses_fifo()) return Errno::kEOPNOTSUPP;
    const PinnedGuestPage page = TRY(event_pin_guest_page(*this, frame));
    ScopeGuard unpin([this, page] { event_unpin_guest_page(*this, page); });
    LockGuard guard(lock_);
    if (going_away_) return Errno::kESRCH;
    FifoState* const fifo = fifo_.load(std::memory_order_relaxed);
    if (fifo == nullptr) return Errno::kEOPNOTSUPP;
    if (fifo->page_count == FifoState::kMostPages) return Errno::kENOSPC;
    unpin.dismiss();
    const uint32_t first = fifo->page_count * FifoState::kWordsPerPage;
    fifo->pages[fifo->page_count] = page;
    fifo->words[fifo->page_count++].store(static_cast<abi::FifoEventWord*>(page.address));

    for (uint32_t port = first; port < first + FifoState::kWordsPerPage; ++port) {
        PortEntry* const entry = find(port);
        if (entry == nullptr) {
            port |= kPortsPerPage - 1;
            continue;
        }
        if (entry->kind() != PortKind::kFree && entry->deferred.exchange(false)) {
            deliver_fifo(*fifo, *entry, port);
        }
    }
    return {};
}

void EventTable::leave_fifo() {
    FifoState* fifo;
    {
        LockGuard guard(lock_);
        fifo = fifo_.load(std::memory_order_relaxed);
        // A port that was bound while the reset ran keeps the array; without any, nobody delivers or unmasks
        // but under the lock.
        if (fifo == nullptr || ports_in_use() != 0) return;
        fifo_.store(nullptr, std::memory_order_release);
        leaving_fifo_ = true;
        for (EventVcpu* const vcpu : vcpus_) {
            if (vcpu == nullptr) continue;
            vcpu->control.store(nullptr, std::memory_order_relaxed);
            vcpu->tail = {};
        }
    }
    for (EventVcpu* const vcpu : vcpus_) {
        if (vcpu == nullptr || vcpu->control_page.address == nullptr) continue;
        event_unpin_guest_page(*this, vcpu->control_page);
        vcpu->control_page = {};
    }
    for (uint32_t i = 0; i < fifo->page_count; ++i)
        event_unpin_guest_page(*this, fifo->pages[i]);
    event_free_page(fifo);
    LockGuard guard(lock_);
    leaving_fifo_ = false;
}

}  // namespace torii
