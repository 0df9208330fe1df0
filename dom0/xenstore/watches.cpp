#include "xenstore/watches.h"

#include <algorithm>

namespace torii::dom0::xenstore {

Expected<void> WatchRegistry::add(Watch watch) {
    std::vector<Watch>& same_path = by_path_[watch.path];
    const bool known = std::any_of(same_path.begin(), same_path.end(), [&](const Watch& other) {
        return other.owner == watch.owner && other.token == watch.token;
    });
    if (known) return StoreError::kExists;
    ++counts_[watch.owner];
    ++total_;
    same_path.push_back(std::move(watch));
    return {};
}

Expected<void> WatchRegistry::remove(ConnectionId owner, std::string_view path, std::string_view token) {
    const auto place = by_path_.find(path);
    if (place == by_path_.end()) return StoreError::kNotFound;
    std::vector<Watch>& watches = place->second;
    const auto found = std::find_if(watches.begin(), watches.end(), [&](const Watch& watch) {
        return watch.owner == owner && watch.token == token;
    });
    if (found == watches.end()) return StoreError::kNotFound;
    watches.erase(found);
    forget_one(owner);
    if (watches.empty()) by_path_.erase(place);
    return {};
}

void WatchRegistry::remove_all(ConnectionId owner) {
    // Spares a walk over everybody's watches for a client that asks for it again and again.
    if (count(owner) == 0) return;
    for (auto place = by_path_.begin(); place != by_path_.end();) {
        std::erase_if(place->second, [&](const Watch& watch) {
            if (watch.owner != owner) return false;
            forget_one(owner);
            return true;
        });
        place = place->second.empty() ? by_path_.erase(place) : std::next(place);
    }
}

std::size_t WatchRegistry::count(ConnectionId owner) const {
    const auto entry = counts_.find(owner);
    return entry == counts_.end() ? 0 : entry->second;
}

void WatchRegistry::forget_one(ConnectionId owner) {
    --total_;
    const auto entry = counts_.find(owner);
    if (--entry->second == 0) counts_.erase(entry);
}

}  // namespace torii::dom0::xenstore
