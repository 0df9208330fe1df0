#include "xenstore/local_client.h"

#include <utility>

#include "xenstore/engine.h"
#include "xenstore/path.h"
#include "xenstore/service.h"

namespace torii::dom0::xenstore {
namespace {

[[noreturn]] void fail(std::string_view operation, std::string_view path, StoreError error) {
    throw StoreFailure(error, "The xenstore refused to " + std::string(operation) + ' ' + std::string(path) +
                                  ": " + std::string(error_description(error)) + " (" +
                                  std::string(error_name(error)) + ").");
}

void check_path(std::string_view operation, std::string_view path) {
    if (!is_valid_path(path)) fail(operation, path, StoreError::kInvalid);
}

// For what can also be done with the names of special events.
void check_path_or_special(std::string_view operation, std::string_view path) {
    if (!is_special(path)) check_path(operation, path);
}

// Nothing if the node doesn't exist, its content otherwise.
template <typename Content>
bool exists_or_fail(const Expected<Content>& outcome, std::string_view operation, std::string_view path) {
    if (outcome) return true;
    if (outcome.error() != StoreError::kNotFound) fail(operation, path, outcome.error());
    return false;
}

void settle(Engine& engine, const Expected<void>& outcome, std::string_view operation,
            std::string_view path) {
    const bool settled = engine.settle();
    if (!outcome) fail(operation, path, outcome.error());
    // Done in memory, and durable when there is space again; but the caller counts on it being durable now.
    if (!settled) fail(operation, path, StoreError::kNoSpace);
}

}  // namespace

std::optional<std::string> LocalAccess::read(std::string_view path) {
    check_path("read", path);
    Engine& engine = *service_.engine_;
    const auto node = engine.store().read(engine.local(), transaction_id_, path);
    if (!exists_or_fail(node, "read", path)) return std::nullopt;
    return (*node)->value;
}

std::optional<std::vector<std::string>> LocalAccess::directory(std::string_view path) {
    check_path("list", path);
    Engine& engine = *service_.engine_;
    const auto node = engine.store().list(engine.local(), transaction_id_, path);
    if (!exists_or_fail(node, "list", path)) return std::nullopt;
    std::vector<std::string> names;
    for (const NodePtr& child : (*node)->children)
        names.push_back(child->name);
    return names;
}

std::optional<Permissions> LocalAccess::permissions(std::string_view path) {
    check_path_or_special("read the permissions of", path);
    Engine& engine = *service_.engine_;
    const auto permissions = engine.store().permissions(engine.local(), transaction_id_, path);
    if (!exists_or_fail(permissions, "read the permissions of", path)) return std::nullopt;
    return **permissions;
}

void LocalAccess::write(std::string_view path, std::string_view value) {
    check_path("write", path);
    Engine& engine = *service_.engine_;
    settle(engine, engine.store().write(engine.local(), transaction_id_, path, value), "write", path);
}

void LocalAccess::make_directory(std::string_view path) {
    check_path("make", path);
    Engine& engine = *service_.engine_;
    settle(engine, engine.store().make_directory(engine.local(), transaction_id_, path), "make", path);
}

void LocalAccess::remove(std::string_view path) {
    check_path("remove", path);
    Engine& engine = *service_.engine_;
    const auto outcome = engine.store().remove(engine.local(), transaction_id_, path);
    // Not even its parent exists: what was asked for is so already.
    const bool gone_already = !outcome && outcome.error() == StoreError::kNotFound;
    settle(engine, gone_already ? Expected<void>() : outcome, "remove", path);
}

void LocalAccess::set_permissions(std::string_view path, const Permissions& permissions) {
    check_path_or_special("set the permissions of", path);
    if (permissions.empty()) fail("set the permissions of", path, StoreError::kInvalid);
    Engine& engine = *service_.engine_;
    settle(engine, engine.store().set_permissions(engine.local(), transaction_id_, path, permissions),
           "set the permissions of", path);
}

LocalWatch LocalClient::watch(std::string_view path, std::function<void(const std::string& path)> callback) {
    check_path_or_special("watch", path);
    Engine& engine = *service_.engine_;
    std::string token = std::to_string(next_token_++);
    const auto outcome = engine.store().watch(engine.local(), path, token, 0);
    if (!outcome) fail("watch", path, outcome.error());
    engine.add_local_watch(token, std::move(callback));
    // Not durable, so that nothing of it can fail: the daemon sets its watches anew when it starts.
    (void)engine.settle();
    return {service_, std::string(path), std::move(token)};
}

void LocalClient::transaction(const std::function<void(LocalAccess&)>& body) {
    Engine& engine = *service_.engine_;
    Store& store = engine.store();
    // The body runs without interruption, so only a change that it makes outside of the transaction can
    // conflict.
    constexpr unsigned kAttempts = 16;
    for (unsigned attempt = 0; attempt != kAttempts; ++attempt) {
        LocalAccess access(service_);
        access.transaction_id_ = *store.start_transaction(engine.local());
        try {
            body(access);
        } catch (...) {
            (void)store.end_transaction(engine.local(), access.transaction_id_, false);
            throw;
        }
        const auto outcome = store.end_transaction(engine.local(), access.transaction_id_, true);
        if (!outcome && outcome.error() == StoreError::kTryAgain) continue;
        return settle(engine, outcome, "commit a transaction on", "the store");
    }
    fail("commit a transaction on", "the store", StoreError::kTryAgain);
}

LocalWatch::LocalWatch(LocalWatch&& other) noexcept {
    *this = std::move(other);
}

LocalWatch& LocalWatch::operator=(LocalWatch&& other) noexcept {
    std::swap(service_, other.service_);
    std::swap(path_, other.path_);
    std::swap(token_, other.token_);
    return *this;
}

LocalWatch::~LocalWatch() {
    if (service_ != nullptr) service_->engine_->remove_local_watch(path_, token_);
}

}  // namespace torii::dom0::xenstore
