#include "xenstore/request.h"

#include <array>

#include "xenstore/expected_macros.h"
#include "xenstore/path.h"

namespace torii::dom0::xenstore {
namespace {

using Type = abi::XenstoreMessage;

constexpr std::size_t kPayloadMax = abi::kXenstorePayloadMax;

std::string text_answer(std::string_view text) {
    std::string answer(text);
    answer += '\0';
    return answer;
}

std::string done() {
    return text_answer("OK");
}

std::string joined_names(const Node& node) {
    std::string names;
    for (const NodePtr& child : node.children)
        names.append(child->name).append(1, '\0');
    return names;
}

struct WatchPath {
    std::string absolute;
    std::size_t hidden_prefix = 0;
};

Expected<WatchPath> resolve_watch_path(std::string_view text, DomId domain) {
    if (is_special(text)) {
        if (text.size() > abi::kXenstoreRelativePathMax) return StoreError::kInvalid;
        return WatchPath{std::string(text), 0};
    }
    auto absolute = resolve_path(text, domain);
    if (!absolute) return absolute.error();
    // The domain's own path and the slash after it.
    const std::size_t hidden = text.starts_with('/') ? 0 : absolute->size() - text.size();
    return WatchPath{std::move(*absolute), hidden};
}

}  // namespace

RequestHandler::Entry RequestHandler::entry_for(std::uint32_t type) {
    using H = RequestHandler;
    switch (static_cast<Type>(type)) {
        case Type::kControl:
            return {&H::control, true, true};
        case Type::kDirectory:
            return {&H::directory};
        case Type::kDirectoryPart:
            return {&H::directory_part};
        case Type::kRead:
            return {&H::read};
        case Type::kGetPerms:
            return {&H::get_permissions};
        case Type::kWatch:
            return {&H::watch};
        case Type::kUnwatch:
            return {&H::unwatch};
        case Type::kResetWatches:
            return {&H::reset_watches};
        case Type::kTransactionStart:
            return {&H::start_transaction};
        case Type::kTransactionEnd:
            return {&H::end_transaction};
        case Type::kWrite:
            return {&H::write, true};
        case Type::kMkdir:
            return {&H::make_directory, true};
        case Type::kRm:
            return {&H::remove, true};
        case Type::kSetPerms:
            return {&H::set_permissions, true};
        case Type::kIntroduce:
            return {&H::introduce, true, true};
        case Type::kRelease:
            return {&H::release, true, true};
        case Type::kResume:
            return {&H::resume, true, true};
        case Type::kSetTarget:
            return {&H::set_target, true, true};
        case Type::kGetDomainPath:
            return {&H::get_domain_path};
        case Type::kIsDomainIntroduced:
            return {&H::is_domain_introduced};
        case Type::kWatchEvent:
        case Type::kError:
        case Type::kInvalid:
            break;
    }
    return {};
}

void RequestHandler::handle(Connection& connection, const Message& message) {
    ++handled_;
    Answer answer = dispatch(connection, message);
    if (answer && answer->size() > kPayloadMax) answer = StoreError::kTooBig;
    if (!answer) log_refusal(connection, message, answer.error());
    const auto& header = message.header;
    store_.reply(connection,
                 answer ? encode_message(static_cast<Type>(header.type), header.req_id, header.tx_id, *answer)
                        : encode_message(Type::kError, header.req_id, header.tx_id,
                                         text_answer(error_name(answer.error()))));
    store_.publish();
}

RequestHandler::Answer RequestHandler::dispatch(Connection& connection, const Message& message) {
    const Entry entry = entry_for(message.header.type);
    if (entry.handler == nullptr) return StoreError::kNotImplemented;
    if (entry.changes && connection.read_only) return StoreError::kReadOnly;
    if (entry.privileged && !connection.principal.privileged) return StoreError::kNotPermitted;
    return (this->*entry.handler)(Request{connection, message.header.tx_id, message.payload});
}

void RequestHandler::log_refusal(const Connection& connection, const Message& message, StoreError error) {
    // Quotas are logged where they are found used up; the rest is the client's everyday life.
    if (error != StoreError::kAccessDenied && error != StoreError::kNotPermitted &&
        error != StoreError::kReadOnly) {
        return;
    }
    refusals_.refused(connection.principal.domain, [&] {
        constexpr std::size_t kShown = 120;
        std::string_view rest = message.payload;
        const std::string_view path = take_string(rest).value_or(std::string_view{}).substr(0, kShown);
        std::string line =
            "xenstore: " + connection.describe() + ": " + message_name(message.header.type) + ' ';
        // A payload that isn't a path may be anything; the log is read on terminals.
        for (const char c : path)
            line += c > ' ' && c < 0x7f ? c : '?';
        return line + " refused: " + std::string(error_description(error));
    });
}

Expected<std::string> RequestHandler::single_path(const Request& request) {
    std::string_view payload = request.payload;
    const auto text = take_string(payload);
    if (!text || !payload.empty()) return StoreError::kInvalid;
    return resolve_path(*text, request.connection.principal.domain);
}

RequestHandler::Answer RequestHandler::directory(const Request& request) {
    const auto path = single_path(request);
    if (!path) return path.error();
    const auto node = store_.list(request.connection, request.transaction, *path);
    if (!node) return node.error();
    return joined_names(**node);
}

RequestHandler::Answer RequestHandler::read(const Request& request) {
    const auto path = single_path(request);
    if (!path) return path.error();
    const auto node = store_.read(request.connection, request.transaction, *path);
    if (!node) return node.error();
    return (*node)->value;
}

RequestHandler::Answer RequestHandler::get_permissions(const Request& request) {
    std::string_view payload = request.payload;
    const auto text = take_string(payload);
    if (!text || !payload.empty()) return StoreError::kInvalid;
    std::string path(*text);
    if (!is_special(path)) {
        const auto resolved = resolve_path(path, request.connection.principal.domain);
        if (!resolved) return resolved.error();
        path = *resolved;
    }
    const auto permissions = store_.permissions(request.connection, request.transaction, path);
    if (!permissions) return permissions.error();
    return format_permissions(**permissions);
}

RequestHandler::Answer RequestHandler::write(const Request& request) {
    std::string_view value = request.payload;
    const auto text = take_string(value);
    if (!text) return StoreError::kInvalid;
    const auto path = resolve_path(*text, request.connection.principal.domain);
    if (!path) return path.error();
    TRY(store_.write(request.connection, request.transaction, *path, value));
    return done();
}

RequestHandler::Answer RequestHandler::make_directory(const Request& request) {
    const auto path = single_path(request);
    if (!path) return path.error();
    TRY(store_.make_directory(request.connection, request.transaction, *path));
    return done();
}

RequestHandler::Answer RequestHandler::remove(const Request& request) {
    const auto path = single_path(request);
    if (!path) return path.error();
    TRY(store_.remove(request.connection, request.transaction, *path));
    return done();
}

RequestHandler::Answer RequestHandler::set_permissions(const Request& request) {
    const auto strings = split_strings(request.payload);
    if (!strings || strings->size() < 2) return StoreError::kInvalid;
    std::string path(strings->front());
    if (!is_special(path)) {
        const auto resolved = resolve_path(path, request.connection.principal.domain);
        if (!resolved) return resolved.error();
        path = *resolved;
    }
    Permissions permissions;
    for (std::size_t i = 1; i < strings->size(); ++i) {
        const auto permission = parse_permission((*strings)[i]);
        if (!permission) return StoreError::kInvalid;
        permissions.push_back(*permission);
    }
    TRY(store_.set_permissions(request.connection, request.transaction, path, permissions));
    return done();
}

RequestHandler::Answer RequestHandler::watch(const Request& request) {
    const auto strings = split_strings(request.payload);
    if (!strings || strings->size() < 2) return StoreError::kInvalid;
    const std::string_view token = (*strings)[1];
    // Any event below the watched path must fit one message together with the token.
    if (abi::kXenstoreAbsolutePathMax + token.size() + 2 > kPayloadMax) return StoreError::kTooBig;
    const auto path = resolve_watch_path(strings->front(), request.connection.principal.domain);
    if (!path) return path.error();
    TRY(store_.watch(request.connection, path->absolute, token, path->hidden_prefix));
    return done();
}

RequestHandler::Answer RequestHandler::unwatch(const Request& request) {
    const auto strings = split_strings(request.payload);
    if (!strings || strings->size() < 2) return StoreError::kInvalid;
    const auto path = resolve_watch_path(strings->front(), request.connection.principal.domain);
    if (!path) return path.error();
    TRY(store_.unwatch(request.connection, path->absolute, (*strings)[1]));
    return done();
}

RequestHandler::Answer RequestHandler::reset_watches(const Request& request) {
    store_.reset_watches(request.connection);
    return done();
}

RequestHandler::Answer RequestHandler::start_transaction(const Request& request) {
    if (request.transaction != 0) return StoreError::kBusy;
    const auto id = store_.start_transaction(request.connection);
    if (!id) return id.error();
    return text_answer(std::to_string(*id));
}

RequestHandler::Answer RequestHandler::end_transaction(const Request& request) {
    std::string_view payload = request.payload;
    const auto text = take_string(payload);
    if (!text || (*text != "T" && *text != "F")) return StoreError::kInvalid;
    TRY(store_.end_transaction(request.connection, request.transaction, *text == "T"));
    return done();
}

}  // namespace torii::dom0::xenstore
