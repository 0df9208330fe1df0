#pragma once
// A xenstore in memory. Watches fire from run(), never from inside a call.

#include <functional>
#include <map>
#include <set>
#include <string>

#include "common/device_store.h"

namespace torii::backend::test {

class FakeStore final : public DeviceStore {
public:
    std::optional<std::string> read(std::string_view path) override;
    std::vector<std::string> directory(std::string_view path) override;
    void write(const std::vector<std::pair<std::string, std::string>>& values) override;
    void remove(std::string_view path) override;
    std::unique_ptr<Watch> watch(std::string_view path, std::function<void()> changed) override;

    // For tests: one node, and its value as a string (empty when there is none).
    void set(const std::string& path, const std::string& value) { write({{path, value}}); }
    std::string get(const std::string& path) { return read(path).value_or(""); }

    // Fires what is due, and what that makes due. False when nothing was.
    bool run();
    size_t watches() const { return watches_.size(); }
    // All calls to write, for tests of what becomes visible together.
    size_t write_calls = 0;

private:
    class Registration;
    struct WatchRecord {
        std::string path;
        std::function<void()> changed;
        bool due = true;
    };
    void touched(std::string_view path);

    std::map<std::string, std::string, std::less<>> nodes_;
    std::map<uint64_t, WatchRecord> watches_;
    uint64_t next_watch_ = 1;
};

}  // namespace torii::backend::test
