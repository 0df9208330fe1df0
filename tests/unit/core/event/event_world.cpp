#include "unit/core/event/event_world.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <thread>

namespace torii {

namespace test {
EventLog event_log;
namespace {
std::map<EventTable*, TestDomain*> domains;  // who owns a table

bool fail_now() {
    return event_log.fail_after >= 0 && event_log.fail_after-- == 0;
}
}  // namespace
}  // namespace test

using test::event_log;

void panic_at(const char* reason, const char* file, unsigned line) {
    std::fprintf(stderr, "panic: %s at %s:%u\n", reason, file, line);
    std::abort();
}
void serve_while_waiting() {
    std::this_thread::yield();
}
namespace {
thread_local std::vector<LockRank> held_ranks;
}
// Two locks of one rank are taken by LockBoth only.
void lock_rank_enter(LockRank rank, const void*) {
    for (const LockRank held : held_ranks)
        BUG_ON(held < rank);
    held_ranks.push_back(rank);
}
void lock_rank_leave(LockRank, const void*) {
    held_ranks.pop_back();
}

void* event_allocate_page() {
    if (test::fail_now()) return nullptr;
    ++event_log.pages;
    void* const page = std::aligned_alloc(4096, 4096);
    __builtin_memset(page, 0, 4096);
    return page;
}
void event_free_page(void* page) {
    --event_log.pages;
    std::free(page);
}
Result<PinnedGuestPage> event_pin_guest_page(EventTable& table, Mfn frame) {
    // Pinning a real page takes page-table locks, which rank above those of events.
    for (const LockRank held : held_ranks)
        BUG_ON(held <= LockRank::kPageTables);
    if (frame.raw() >= test::GuestMemory::kFrames) return Errno::kEINVAL;
    if (test::fail_now()) return Errno::kENOMEM;
    ++event_log.pinned;
    return PinnedGuestPage{test::domains.at(&table)->memory.pages[frame.raw()].bytes, frame.raw()};
}
void event_unpin_guest_page(EventTable& table, PinnedGuestPage page) {
    for (const LockRank held : held_ranks)
        BUG_ON(held <= LockRank::kPageTables);
    BUG_ON(page.address != test::domains.at(&table)->memory.pages[page.reference].bytes);
    --event_log.pinned;
}
void event_kick(EventVcpu& vcpu) {
    if (event_log.record) event_log.kicks.push_back(&vcpu);
}
void event_pirq_closed(EventTable&, uint32_t pirq) {
    if (event_log.record) event_log.closed_pirqs.push_back(pirq);
}
void event_wake_poller(EventVcpu& vcpu) {
    if (event_log.record) event_log.woken_pollers.push_back(&vcpu);
}

namespace test {

TestDomain::TestDomain(uint16_t id, unsigned vcpu_count) : heads_(vcpu_count) {
    domains[&table] = this;
    vcpu_pointers = std::make_unique<Published<EventVcpu>[]>(vcpu_count);
    for (unsigned i = 0; i < vcpu_count; ++i) {
        auto vcpu = std::make_unique<EventVcpu>();
        vcpu->table = &table;
        vcpu->id = VcpuId(i);
        vcpu->info = i < abi::kLegacyMaxVcpus ? &shared->vcpu_info[i] : nullptr;
        vcpu_pointers[i].publish(*vcpu);
        vcpus.push_back(std::move(vcpu));
    }
    table.attach(DomId(id), *shared, std::span(vcpu_pointers.get(), vcpus.size()));
}

TestDomain::~TestDomain() {
    while (!table.close_all(1000)) {
    }
    domains.erase(&table);
}

bool TestDomain::pending(uint32_t port) const {
    auto& self = const_cast<TestDomain&>(*this);
    if (!table.uses_fifo()) return (shared->evtchn_pending[port / 64] >> port % 64 & 1) != 0;
    return (self.word(port) >> abi::kFifoPendingBit & 1) != 0;
}

void TestDomain::set_pending(uint32_t port, bool on) {
    if (!table.uses_fifo()) {
        const uint64_t bit = uint64_t{1} << port % 64;
        if (on) {
            __atomic_or_fetch(&shared->evtchn_pending[port / 64], bit, __ATOMIC_SEQ_CST);
        } else {
            __atomic_and_fetch(&shared->evtchn_pending[port / 64], ~bit, __ATOMIC_SEQ_CST);
        }
        return;
    }
    const uint32_t bit = 1u << abi::kFifoPendingBit;
    if (on) {
        __atomic_or_fetch(&word(port), bit, __ATOMIC_SEQ_CST);
    } else {
        __atomic_and_fetch(&word(port), ~bit, __ATOMIC_SEQ_CST);
    }
}

void TestDomain::set_masked(uint32_t port, bool on) {
    if (!table.uses_fifo()) {
        const uint64_t bit = uint64_t{1} << port % 64;
        if (on) {
            shared->evtchn_mask[port / 64] |= bit;
        } else {
            shared->evtchn_mask[port / 64] &= ~bit;
        }
        return;
    }
    const uint32_t bit = 1u << abi::kFifoMaskedBit;
    if (on) {
        __atomic_or_fetch(&word(port), bit, __ATOMIC_SEQ_CST);
    } else {
        __atomic_and_fetch(&word(port), ~bit, __ATOMIC_SEQ_CST);
    }
}

bool TestDomain::take_upcall(unsigned vcpu) {
    return __atomic_exchange_n(&info(vcpu).evtchn_upcall_pending, uint8_t{0}, __ATOMIC_SEQ_CST) != 0;
}

void TestDomain::use_fifo(uint32_t pages) {
    for (unsigned i = 0; i < vcpus.size(); ++i) {
        uint8_t link_bits = 0;
        if (!table.init_control(i, Mfn(i / 8), i % 8 * 512, link_bits).ok() || link_bits != 17) std::abort();
        control(i) = {};
    }
    while (array_pages < pages) {
        if (!table.expand_array(Mfn(10 + array_pages)).ok()) std::abort();
        ++array_pages;
    }
}

abi::FifoEventWord& TestDomain::word(uint32_t port) {
    return reinterpret_cast<abi::FifoEventWord*>(memory.pages.at(10 + port / 1024).bytes)[port % 1024];
}

abi::FifoControlBlock& TestDomain::control(unsigned vcpu) {
    return *reinterpret_cast<abi::FifoControlBlock*>(memory.pages[vcpu / 8].bytes + vcpu % 8 * 512);
}

std::vector<uint32_t> TestDomain::consume(unsigned vcpu) {
    std::vector<uint32_t> events;
    uint32_t ready = __atomic_exchange_n(&control(vcpu).ready, 0, __ATOMIC_SEQ_CST);
    unsigned steps = 0;
    while (ready != 0 && ++steps < 10000) {
        const auto queue = static_cast<unsigned>(__builtin_ctz(ready));
        uint32_t& head = heads_[vcpu][queue];
        if (head == 0) head = __atomic_load_n(&control(vcpu).head[queue], __ATOMIC_ACQUIRE);
        const uint32_t port = head;
        const uint32_t keep = ~(1u << abi::kFifoLinkedBit | abi::kFifoLinkMask);
        const uint32_t old = __atomic_fetch_and(&word(port), keep, __ATOMIC_SEQ_CST);
        head = old & abi::kFifoLinkMask;
        if (head == 0) ready &= ~(1u << queue);
        if ((old >> abi::kFifoPendingBit & 1) != 0 && (old >> abi::kFifoMaskedBit & 1) == 0) {
            set_pending(port, false);
            events.push_back(port);
        }
        ready |= __atomic_exchange_n(&control(vcpu).ready, 0, __ATOMIC_SEQ_CST);
    }
    return events;
}

}  // namespace test
}  // namespace torii
