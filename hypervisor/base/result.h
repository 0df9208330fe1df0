// Result<T>: a value or one of the ABI's error numbers. TRY passes the error on.
//
// For a trivially copyable T of up to eight bytes a Result travels in two registers, and Result<> in one.
#pragma once

#include <torii/abi/errno.h>

#include <new>
#include <type_traits>
#include <utility>

#include "base/panic.h"

namespace torii {

using abi::Errno;

inline constexpr Errno kNoError = Errno{0};

template <class T = void>
class [[nodiscard]] Result {
public:
    constexpr Result(T value) : value_(std::move(value)), error_(kNoError) {}  // NOLINT: implicit on purpose
    constexpr Result(Errno error) : value_{}, error_(error) {}                 // NOLINT: implicit on purpose

    [[nodiscard]] constexpr bool ok() const { return error_ == kNoError; }
    [[nodiscard]] constexpr Errno error() const { return error_; }
    [[nodiscard]] constexpr T& value() { return value_; }
    [[nodiscard]] constexpr T take() { return std::move(value_); }

private:
    T value_;
    Errno error_;
};

template <>
class [[nodiscard]] Result<void> {
public:
    constexpr Result() = default;
    constexpr Result(Errno error) : error_(error) {}  // NOLINT: implicit on purpose
    [[nodiscard]] constexpr bool ok() const { return error_ == kNoError; }
    [[nodiscard]] constexpr Errno error() const { return error_; }
    constexpr void take() const {}

private:
    Errno error_ = kNoError;
};

// The value of `expression`, or return its error from the enclosing function.
#define TRY(expression)                     \
    ({                                      \
        auto try_result_ = (expression);    \
        if (!try_result_.ok()) [[unlikely]] \
            return try_result_.error();     \
        try_result_.take();                 \
    })

// The value of `expression`, which cannot fail: say why in a comment at each use.
#define MUST(expression)                                                              \
    ({                                                                                \
        auto must_result_ = (expression);                                             \
        if (!must_result_.ok()) BUG("a call that cannot fail, failed: " #expression); \
        must_result_.take();                                                          \
    })

}  // namespace torii
