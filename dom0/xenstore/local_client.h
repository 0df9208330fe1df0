#pragma once
// The daemon's own access to the store: synchronous, in the same process, as the privileged control domain.
//
// Every call must be made on the thread that runs the io_context. Paths are absolute. A change is in the
// journal when the call returns. Errors other than "does not exist" in read(), directory() and permissions()
// arrive as StoreFailure.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "torii/failure.h"
#include "xenstore/permissions.h"
#include "xenstore/types.h"

namespace torii::dom0::xenstore {

class Service;

// What was asked, and why the store refused.
class StoreFailure : public Failure {
public:
    StoreFailure(StoreError store_error, const std::string& sentence)
        : Failure(ErrorCode::kNoXenstore, sentence), store_error_(store_error) {}
    [[nodiscard]] StoreError store_error() const { return store_error_; }

private:
    StoreError store_error_;
};

// The operations that work alike directly and inside a transaction.
class LocalAccess {
public:
    [[nodiscard]] std::optional<std::string> read(std::string_view path);
    [[nodiscard]] std::optional<std::vector<std::string>> directory(std::string_view path);
    [[nodiscard]] std::optional<Permissions> permissions(std::string_view path);
    [[nodiscard]] bool exists(std::string_view path) { return directory(path).has_value(); }

    // Creates missing parents. The value may be any bytes.
    void write(std::string_view path, std::string_view value);
    void make_directory(std::string_view path);
    // Removes the node with everything below it. No error if it does not exist.
    void remove(std::string_view path);
    // The node must exist.
    void set_permissions(std::string_view path, const Permissions& permissions);

private:
    friend class LocalClient;
    explicit LocalAccess(Service& service) : service_(service) {}
    Service& service_;
    std::uint32_t transaction_id_ = 0;
};

// Ends its watch when destroyed; must not outlive the service. Moved-from: watches nothing.
class LocalWatch {
public:
    LocalWatch() = default;
    LocalWatch(Service& service, std::string path, std::string token)
        : service_(&service), path_(std::move(path)), token_(std::move(token)) {}
    LocalWatch(LocalWatch&& other) noexcept;
    LocalWatch& operator=(LocalWatch&& other) noexcept;
    ~LocalWatch();

private:
    Service* service_ = nullptr;
    std::string path_;
    std::string token_;
};

class LocalClient : public LocalAccess {
public:
    // `callback` gets the path that changed; it is first called for the watched path itself, soon after this
    // call, and always from the io_context, never from inside a call to the store.
    [[nodiscard]] LocalWatch watch(std::string_view path,
                                   std::function<void(const std::string& path)> callback);

    // Runs `body` until its changes could be made together. They become visible to others, are journaled, and
    // fire watches, all or none; nothing is changed if `body` throws.
    void transaction(const std::function<void(LocalAccess&)>& body);

private:
    friend class Service;
    explicit LocalClient(Service& service) : LocalAccess(service) {}
    std::uint64_t next_token_ = 1;
};

}  // namespace torii::dom0::xenstore
