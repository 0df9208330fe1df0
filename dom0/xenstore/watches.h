#pragma once
// Who wants to know of changes at which path.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "xenstore/types.h"

namespace torii::dom0::xenstore {

using ConnectionId = std::uint32_t;

struct Watch {
    ConnectionId owner = 0;
    std::string path;  // absolute, or special
    std::string token;
    // Leading bytes that its owner left out when he named the path relative to his own, and doesn't get back.
    std::size_t hidden_prefix = 0;

    // How the owner knows `absolute`, which lies at or below this watch.
    [[nodiscard]] std::string_view as_seen_by_owner(std::string_view absolute) const {
        return absolute.substr(hidden_prefix);
    }
};

class WatchRegistry {
public:
    // kExists if the owner has this path with this token already.
    Expected<void> add(Watch watch);
    // kNotFound if there is none.
    Expected<void> remove(ConnectionId owner, std::string_view path, std::string_view token);
    void remove_all(ConnectionId owner);

    [[nodiscard]] std::size_t count(ConnectionId owner) const;
    [[nodiscard]] std::size_t total() const { return total_; }

    // Calls visit(watch) for every watch that a change at `path` concerns: at it or above it. `visit` must
    // not change the registry; neither here nor below.
    template <typename Visit>
    void for_each_at_or_above(std::string_view path, const Visit& visit) const {
        visit_path(path, visit);
        if (!path.starts_with('/') || path == "/") return;
        for (std::size_t slash = path.rfind('/'); slash != 0; slash = path.rfind('/', slash - 1)) {
            visit_path(path.substr(0, slash), visit);
        }
        visit_path("/", visit);
    }
    // Every watch strictly below `path`.
    template <typename Visit>
    void for_each_below(std::string_view path, const Visit& visit) const {
        const std::string prefix = path == "/" ? std::string(path) : std::string(path) + '/';
        for (auto place = by_path_.upper_bound(prefix);
             place != by_path_.end() && place->first.starts_with(prefix); ++place) {
            for (const Watch& watch : place->second)
                visit(watch);
        }
    }
    template <typename Visit>
    void for_each_of(ConnectionId owner, const Visit& visit) const {
        for (const auto& [path, watches] : by_path_) {
            for (const Watch& watch : watches) {
                if (watch.owner == owner) visit(watch);
            }
        }
    }

private:
    template <typename Visit>
    void visit_path(std::string_view path, const Visit& visit) const {
        const auto place = by_path_.find(path);
        if (place == by_path_.end()) return;
        for (const Watch& watch : place->second)
            visit(watch);
    }
    void forget_one(ConnectionId owner);

    std::map<std::string, std::vector<Watch>, std::less<>> by_path_;  // no empty vectors
    std::map<ConnectionId, std::size_t> counts_;
    std::size_t total_ = 0;
};

}  // namespace torii::dom0::xenstore
