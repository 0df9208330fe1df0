#pragma once
// From a hypercall's result to a sentence for people.

#include <torii/abi/errno.h>
#include <torii/failure.h>

#include <cstdint>
#include <initializer_list>
#include <string>

namespace torii::dom0 {

inline bool is(int64_t result, abi::Errno error) {
    return result == abi::negated(error);
}

// What an error of one certain call means.
struct Meaning {
    abi::Errno error;
    ErrorCode code;
    std::string sentence;  // after "cannot <what>: "
};

// Throws a Failure that says what was asked; `what` completes "cannot ...". Errors with no meaning given get
// a general one.
[[noreturn]] void fail_call(int64_t result, const std::string& what,
                            std::initializer_list<Meaning> meanings = {});

}  // namespace torii::dom0
