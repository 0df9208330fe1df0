// Which domains there are. Ids 0 to 0x7fef, two levels, the second made as needed.
//
// Looking up takes no lock, since domains that have nothing else in common meet here. A pointer that was read
// is used at once, to take a reference that is still there to be taken; who unregisters a domain waits until
// nobody can be about to do that any more.
#include "core/domain/registry.h"

#include <torii/abi/domid.h>

#include "core/domain/domain.h"
#include "core/memory/heap.h"
#include "port/machine.h"

namespace torii {
namespace {

constexpr unsigned kPerPage = kPageSize / sizeof(Domain*);
constexpr unsigned kPages = (abi::kDomIdFirstReserved + kPerPage - 1) / kPerPage;

class Registry {
public:
    constexpr Registry() = default;

    Result<> add(Domain& domain) {
        const unsigned id = domain.id.raw();
        if (id >= abi::kDomIdFirstReserved) return Errno::kEINVAL;
        // The page is made before the lock is taken, and given back when it isn't needed.
        void* fresh = nullptr;
        if (!has_page(id)) fresh = TRY(heap_allocate(kPageSize));
        const bool added = place(domain, fresh);
        heap_free(fresh);
        if (!added) return Errno::kEEXIST;
        return {};
    }

    void remove(Domain& domain) {
        pages_[domain.id.raw() / kPerPage].load()[domain.id.raw() % kPerPage].store(nullptr);
        wait_for_all_cpus();
    }

    Domain* find(DomId id) {
        if (id.raw() >= abi::kDomIdFirstReserved) return nullptr;
        Slot* const page = pages_[bounded(id.raw() / kPerPage, kPages)].load(std::memory_order_acquire);
        return page == nullptr ? nullptr : take(page[id.raw() % kPerPage].load(std::memory_order_acquire));
    }

    Domain* next(DomId from) {
        for (unsigned id = from.raw(); id < abi::kDomIdFirstReserved; ++id) {
            Slot* const page = pages_[bounded(id / kPerPage, kPages)].load(std::memory_order_acquire);
            if (page == nullptr) {
                id |= kPerPage - 1;
                continue;
            }
            if (Domain* const domain = take(page[id % kPerPage].load(std::memory_order_acquire));
                domain != nullptr)
                return domain;
        }
        return nullptr;
    }

private:
    using Slot = std::atomic<Domain*>;
    bool has_page(unsigned id) { return pages_[id / kPerPage].load(std::memory_order_relaxed) != nullptr; }
    // Uses up `fresh` where there is no page yet. False: the id is taken.
    bool place(Domain& domain, void*& fresh) {
        const unsigned id = domain.id.raw();
        const LockGuard guard(lock_);
        Slot* page = pages_[id / kPerPage].load(std::memory_order_relaxed);
        if (page == nullptr) {
            page = static_cast<Slot*>(fresh);  // zeroed, as all of the heap's memory
            pages_[id / kPerPage].store(page, std::memory_order_release);
            fresh = nullptr;
        }
        Slot& slot = page[id % kPerPage];
        if (slot.load(std::memory_order_relaxed) != nullptr) return false;
        slot.store(&domain, std::memory_order_release);
        return true;
    }

    // A domain whose last reference is going is on its way out of here.
    static Domain* take(Domain* domain) {
        if (domain == nullptr) return nullptr;
        uint32_t seen = domain->references.load(std::memory_order_relaxed);
        do {
            if (seen == 0) return nullptr;
        } while (!domain->references.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire));
        return domain;
    }

    Spinlock lock_{LockRank::kDomainList};  // one domain is entered at a time
    std::atomic<Slot*> pages_[kPages]{};
};

constinit Registry registry;

}  // namespace

Result<> register_domain(Domain& domain) {
    return registry.add(domain);
}
void unregister_domain(Domain& domain) {
    registry.remove(domain);
}
Domain* find_domain(DomId id) {
    return registry.find(id);
}
Domain* next_domain(DomId id) {
    return registry.next(id);
}

void put_domain(Domain& domain) {
    if (domain.references.fetch_sub(1, std::memory_order_acq_rel) == 1) free_domain(domain);
}

}  // namespace torii
