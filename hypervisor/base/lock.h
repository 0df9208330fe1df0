// Spinlocks with ranks.
//
// The hypervisor runs with interrupts off except in idle and at the preemption points of long operations, so
// no lock is ever wanted by an interrupt handler on the CPU that holds it. While a CPU waits for a lock it
// serves flush requests of others (`serve_while_waiting`), so a holder may wait for a TLB flush.
//
// A CPU takes locks in falling order of rank. Two locks of one rank are taken by `LockBoth`, which orders
// them by address.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/panic.h"

namespace torii {

// Highest first: who holds one may take those below it.
enum class LockRank : uint8_t {
    kDomainControl = 90,  // life cycle of one domain: create, pause, destroy
    kCpuPools = 85,       // which CPUs and domains are in which pool, and where units may run
    kGrantTable = 80,     // one domain's grant table: entries, sizes
    kMaptrack = 75,       // one domain's grant handles
    kPageTables = 70,     // one domain's page types and page-table contents
    kPageAlloc = 60,      // one domain's list and count of frames
    kInterruptMap = 52,   // which device interrupts there are, and who may bind them
    kEventPorts = 50,     // one domain's ports: allocation, binding, closing
    kInterrupt = 48,      // one device interrupt: its route, who hears of it
    kVectors = 47,        // which vectors of which CPU are taken
    kEventQueue = 45,     // FIFO queue words of one vCPU
    kTimer = 40,          // per-CPU timer queue
    kRunQueue = 30,       // per-CPU run queue
    kSlab = 22,           // small objects of the hypervisor
    kHeap = 20,           // frame allocator
    kFirmware = 17,       // EFI's runtime services
    kWindow = 15,         // per-CPU mapping windows
    kDomainList = 12,     // registry of domains: entering one
    kPci = 11,            // configuration space, IO-APICs
    kConsole = 10,        // log ring and console device
};

// Defined by the platform (arch/x86/hw or tests/fakes).
void serve_while_waiting();
#ifdef TORII_ASSERTS
void lock_rank_enter(LockRank rank, const void* lock);
void lock_rank_leave(LockRank rank, const void* lock);
#else
inline void lock_rank_enter(LockRank, const void*) {}
inline void lock_rank_leave(LockRank, const void*) {}
#endif

class Spinlock {
public:
    explicit constexpr Spinlock(LockRank rank) : rank_(rank) {}
    Spinlock(const Spinlock&) = delete;
    Spinlock& operator=(const Spinlock&) = delete;

    void lock() {
        lock_rank_enter(rank_, this);
        if (held_.exchange(true, std::memory_order_acquire)) [[unlikely]]
            wait();
    }
    void unlock() {
        ASSERT(held_.load(std::memory_order_relaxed));
        held_.store(false, std::memory_order_release);
        lock_rank_leave(rank_, this);
    }
    [[nodiscard]] bool is_held() const { return held_.load(std::memory_order_relaxed); }

private:
    // Until it is ours. Not inlined: there are many places where locks are taken.
    [[gnu::cold, gnu::noinline]] void wait() {
        do {
            while (held_.load(std::memory_order_relaxed))
                serve_while_waiting();
        } while (held_.exchange(true, std::memory_order_acquire));
    }

    std::atomic<bool> held_{false};
    LockRank rank_;
    friend class LockBoth;
};

class [[nodiscard]] LockGuard {
public:
    explicit LockGuard(Spinlock& lock) : lock_(&lock) { lock.lock(); }
    LockGuard(const LockGuard&) = delete;
    ~LockGuard() { unlock(); }
    void unlock() {
        if (lock_ != nullptr) lock_->unlock();
        lock_ = nullptr;
    }

private:
    Spinlock* lock_;
};

// Both locks (which may be the same one), lower address first.
class [[nodiscard]] LockBoth {
public:
    LockBoth(Spinlock& a, Spinlock& b) : first_(&a < &b ? a : b), second_(&a < &b ? &b : &a) {
        if (second_ == &first_) second_ = nullptr;
        first_.lock();
        if (second_ != nullptr) second_->lock();
    }
    LockBoth(const LockBoth&) = delete;
    ~LockBoth() {
        if (second_ != nullptr) second_->unlock();
        first_.unlock();
    }

private:
    Spinlock& first_;
    Spinlock* second_;
};

}  // namespace torii
