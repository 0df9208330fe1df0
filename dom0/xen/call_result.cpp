#include "xen/call_result.h"

#include <cstring>

#include "log/log.h"

namespace torii::dom0 {
namespace {

ErrorCode code_for(int64_t result) {
    if (is(result, abi::Errno::kESRCH)) return ErrorCode::kNoDomain;
    if (is(result, abi::Errno::kENOMEM)) return ErrorCode::kNoMemory;
    return ErrorCode::kHypercall;
}

}  // namespace

void fail_call(int64_t result, const std::string& what, std::initializer_list<Meaning> meanings) {
    for (const Meaning& meaning : meanings) {
        if (is(result, meaning.error))
            throw Failure(meaning.code, fmt::format("cannot {}: {}", what, meaning.sentence));
    }
    if (is(result, abi::Errno::kENOSYS) || is(result, abi::Errno::kEOPNOTSUPP)) {
        throw Failure(ErrorCode::kNotSupported,
                      fmt::format("cannot {}: this hypervisor does not support it", what));
    }
    throw Failure(code_for(result), fmt::format("the hypervisor refused to {}: {}", what,
                                                std::strerror(static_cast<int>(-result))));
}

}  // namespace torii::dom0
