// Which domains there are. Ids 0 to 0x7fef, two levels, the second made as needed.
#include "core/domain/registry.h"

#include <torii/abi/domid.h>

#include "core/domain/domain.h"
#include "core/memory/heap.h"

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
        // The page is made before the lock, which is the innermost but one, is taken; most of the time it
        // isn't needed.
        void* fresh = nullptr;
        if (!has_page(id)) fresh = TRY(heap_allocate(kPageSize));
        const bool added = place(domain, fresh);
        heap_free(fresh);
        if (!added) return Errno::kEEXIST;
        return {};
    }

    void remove(Domain& domain) {
        const LockGuard guard(lock_);
        pages_[domain.id.raw() / kPerPage][domain.id.raw() % kPerPage] = nullptr;
    }

    Domain* find(DomId id) {
        if (id.raw() >= abi::kDomIdFirstReserved) return nullptr;
        const LockGuard guard(lock_);
        Domain** const page = pages_[id.raw() / kPerPage];
        return page == nullptr ? nullptr : take(page[id.raw() % kPerPage]);
    }

    Domain* next(DomId from) {
        const LockGuard guard(lock_);
        for (unsigned id = from.raw(); id < abi::kDomIdFirstReserved; ++id) {
            Domain** const page = pages_[id / kPerPage];
            if (page == nullptr) {
                id |= kPerPage - 1;
                continue;
            }
            if (Domain* const domain = take(page[id % kPerPage]); domain != nullptr) return domain;
        }
        return nullptr;
    }

private:
    bool has_page(unsigned id) {
        const LockGuard guard(lock_);
        return pages_[id / kPerPage] != nullptr;
    }
    // Uses up `fresh` where there is no page yet. False: the id is taken.
    bool place(Domain& domain, void*& fresh) {
        const unsigned id = domain.id.raw();
        const LockGuard guard(lock_);
        Domain**& page = pages_[id / kPerPage];
        if (page == nullptr) {
            page = static_cast<Domain**>(fresh);
            fresh = nullptr;
        }
        if (page[id % kPerPage] != nullptr) return false;
        page[id % kPerPage] = &domain;
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

    Spinlock lock_{LockRank::kDomainList};
    Domain** pages_[kPages]{};
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
