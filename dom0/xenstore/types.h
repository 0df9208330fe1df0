#pragma once
// Vocabulary of the xenstore service: domain ids, error names of the wire protocol, and results that carry
// one.

#include <cstdint>
#include <functional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "xen/ids.h"

namespace torii::dom0::xenstore {

// The errors that the protocol can name (public io/xs_wire.h, xsd_errors). They travel as text, not as
// numbers.
enum class StoreError : std::uint8_t {
    kInvalid,           // EINVAL: malformed request or path
    kAccessDenied,      // EACCES: the node's permissions forbid it
    kExists,            // EEXIST
    kNotFound,          // ENOENT
    kNoMemory,          // ENOMEM
    kNoSpace,           // ENOSPC: a quota on nodes, node size or transactions is used up
    kInputOutput,       // EIO
    kNotImplemented,    // ENOSYS: unknown request type
    kReadOnly,          // EROFS: change asked for on the read-only socket
    kBusy,              // EBUSY
    kTryAgain,          // EAGAIN: the transaction lost against another change
    kAlreadyConnected,  // EISCONN
    kTooBig,            // E2BIG: the answer doesn't fit a message, or too many watches
    kNotPermitted,      // EPERM: only the control domain may ask this
};

// The name as it is sent, "EINVAL" and so on.
[[nodiscard]] std::string_view error_name(StoreError error);
// A sentence's tail for logs and exceptions: "the node does not exist".
[[nodiscard]] std::string_view error_description(StoreError error);

// A value or the error to answer with.
template <typename T>
class [[nodiscard]] Expected {
public:
    using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

    Expected() requires std::is_void_v<T>
    = default;
    Expected(Value value) : content_(std::move(value)) {}
    Expected(StoreError error) : content_(error) {}

    explicit operator bool() const { return content_.index() == 0; }
    Value& value() { return std::get<0>(content_); }
    const Value& value() const { return std::get<0>(content_); }
    Value& operator*() { return value(); }
    const Value& operator*() const { return value(); }
    Value* operator->() { return &value(); }
    const Value* operator->() const { return &value(); }
    [[nodiscard]] StoreError error() const { return std::get<1>(content_); }

private:
    std::variant<Value, StoreError> content_;
};

// Called at each named step between which a crash must not hurt. The default does nothing; the daemon's hook
// may kill the process, the tests' hook throws. Names are listed in fail_points.h.
using FailPointHook = std::function<void(std::string_view step)>;

enum class LogSeverity : std::uint8_t { kDebug, kInfo, kWarning, kError };
using LogSink = std::function<void(LogSeverity severity, std::string_view line)>;

}  // namespace torii::dom0::xenstore
