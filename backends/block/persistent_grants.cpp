#include "block/persistent_grants.h"

#include <torii/failure.h>

namespace torii::backend {

PersistentGrants::Page* PersistentGrants::use(GrantRef gref) {
    const auto found = by_gref_.find(gref.raw());
    if (found != by_gref_.end()) {
        pages_.splice(pages_.begin(), pages_, found->second);
        ++found->second->users;
        return &*found->second;
    }
    if (by_gref_.size() >= most_ && !make_room()) return nullptr;
    try {
        pages_.push_front({gref, memory_.map({&gref, 1}, true), 1});
    } catch (const Failure&) {
        return nullptr;
    }
    by_gref_[gref.raw()] = pages_.begin();
    return &pages_.front();
}

bool PersistentGrants::make_room() {
    for (auto page = pages_.end(); page != pages_.begin();) {
        --page;
        if (page->users != 0) continue;
        by_gref_.erase(page->gref.raw());
        pages_.erase(page);
        return true;
    }
    return false;
}

}  // namespace torii::backend
