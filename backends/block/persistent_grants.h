#pragma once
// Granted pages that stay mapped, for a frontend that uses the same ones again and again
// ("feature-persistent"). The oldest that no request uses make room for new ones.

#include <list>
#include <memory>
#include <unordered_map>

#include "common/guest_memory.h"

namespace torii::backend {

class PersistentGrants {
public:
    // `most`: pages mapped at a time.
    PersistentGrants(GuestMemory& memory, size_t most) : memory_(memory), most_(most) {}

    struct Page {
        GrantRef gref;
        std::unique_ptr<GrantMapping> mapping;
        unsigned users = 0;
        std::byte* bytes() const { return mapping->bytes().data(); }
    };

    // The page, mapped writable, for a request that must release() it. Null when it cannot be mapped: the
    // guest then sees its data copied instead.
    Page* use(GrantRef gref);
    void release(Page* page) { --page->users; }

    size_t mapped() const { return by_gref_.size(); }

private:
    bool make_room();

    GuestMemory& memory_;
    size_t most_;
    std::list<Page> pages_;  // the one used last at the front
    std::unordered_map<uint32_t, std::list<Page>::iterator> by_gref_;
};

}  // namespace torii::backend
