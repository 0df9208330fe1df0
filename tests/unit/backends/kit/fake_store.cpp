#include "unit/backends/kit/fake_store.h"

namespace torii::backend::test {
namespace {

bool below(std::string_view path, std::string_view above) {
    return path == above ||
           (path.starts_with(above) && path.size() > above.size() && path[above.size()] == '/');
}

}  // namespace

class FakeStore::Registration final : public DeviceStore::Watch {
public:
    Registration(FakeStore& store, uint64_t id) : store_(store), id_(id) {}
    ~Registration() override { store_.watches_.erase(id_); }

private:
    FakeStore& store_;
    uint64_t id_;
};

std::optional<std::string> FakeStore::read(std::string_view path) {
    const auto found = nodes_.find(path);
    if (found == nodes_.end()) return std::nullopt;
    return found->second;
}

std::vector<std::string> FakeStore::directory(std::string_view path) {
    std::set<std::string> names;
    for (const auto& [name, value] : nodes_) {
        if (!below(name, path) || name == path) continue;
        const std::string rest = name.substr(path.size() + 1);
        names.insert(rest.substr(0, rest.find('/')));
    }
    return {names.begin(), names.end()};
}

void FakeStore::write(const std::vector<std::pair<std::string, std::string>>& values) {
    ++write_calls;
    for (const auto& [path, value] : values)
        nodes_[path] = value;
    for (const auto& [path, value] : values)
        touched(path);
}

void FakeStore::remove(std::string_view path) {
    for (auto node = nodes_.begin(); node != nodes_.end();) {
        node = below(node->first, path) ? nodes_.erase(node) : std::next(node);
    }
    touched(path);
    // Whoever watches something below learns that it is gone.
    for (auto& [id, record] : watches_)
        record.due = record.due || below(record.path, path);
}

std::unique_ptr<DeviceStore::Watch> FakeStore::watch(std::string_view path, std::function<void()> changed) {
    watches_[next_watch_] = {std::string(path), std::move(changed)};
    return std::make_unique<Registration>(*this, next_watch_++);
}

void FakeStore::touched(std::string_view path) {
    for (auto& [id, record] : watches_)
        record.due = record.due || below(path, record.path);
}

bool FakeStore::run() {
    bool any = false;
    for (size_t guard = 0; guard < 10'000; ++guard) {
        auto due = watches_.begin();
        while (due != watches_.end() && !due->second.due)
            ++due;
        if (due == watches_.end()) break;
        due->second.due = false;
        any = true;
        const auto changed = due->second.changed;  // it may end its own watch
        changed();
    }
    return any;
}

}  // namespace torii::backend::test
