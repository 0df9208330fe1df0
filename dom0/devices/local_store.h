#pragma once
// The daemon's own xenstore as the backends know it.

#include "common/device_store.h"
#include "xenstore/local_client.h"

namespace torii::dom0 {

class LocalDeviceStore final : public backend::DeviceStore {
public:
    // The client must outlive this and every watch.
    explicit LocalDeviceStore(xenstore::LocalClient& client) : client_(client) {}

    std::optional<std::string> read(std::string_view path) override { return client_.read(path); }
    std::vector<std::string> directory(std::string_view path) override {
        return client_.directory(path).value_or(std::vector<std::string>());
    }
    void write(const std::vector<std::pair<std::string, std::string>>& values) override {
        client_.transaction([&](xenstore::LocalAccess& store) {
            for (const auto& [path, value] : values)
                store.write(path, value);
        });
    }
    void remove(std::string_view path) override { client_.remove(path); }

    std::unique_ptr<Watch> watch(std::string_view path, std::function<void()> changed) override {
        return std::make_unique<StoreWatch>(
            client_.watch(path, [changed = std::move(changed)](const std::string&) { changed(); }));
    }

private:
    class StoreWatch final : public Watch {
    public:
        explicit StoreWatch(xenstore::LocalWatch watch) : watch_(std::move(watch)) {}

    private:
        xenstore::LocalWatch watch_;
    };

    xenstore::LocalClient& client_;
};

}  // namespace torii::dom0
