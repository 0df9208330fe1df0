#include "xen/call_result.h"

#include <array>
#include <cstring>
#include <span>

#include "log/log.h"

namespace torii::dom0 {
namespace {

// What errors mean that mean the same for every call.
const std::array<Meaning, 6>& common_meanings() {
    static const std::array<Meaning, 6> meanings{{
        {abi::Errno::kESRCH, ErrorCode::kNoDomain, "there is no such domain, or not any more"},
        {abi::Errno::kENOMEM, ErrorCode::kNoMemory, "the hypervisor has no memory left for it"},
        {abi::Errno::kENOSYS, ErrorCode::kNotSupported, "this hypervisor does not support it"},
        {abi::Errno::kEOPNOTSUPP, ErrorCode::kNotSupported, "this hypervisor does not support it"},
        {abi::Errno::kEPERM, ErrorCode::kHypercall, "the hypervisor allows it to its control domain only"},
        {abi::Errno::kEACCES, ErrorCode::kHypercall,
         "the hypervisor speaks another version of this interface than the daemon, which knows Xen 4.17's"},
    }};
    return meanings;
}

void throw_known(int64_t result, const std::string& what, std::span<const Meaning> meanings) {
    for (const Meaning& meaning : meanings) {
        if (is(result, meaning.error))
            throw Failure(meaning.code, fmt::format("cannot {}: {}", what, meaning.sentence));
    }
}

}  // namespace

void fail_call(int64_t result, const std::string& what, std::initializer_list<Meaning> meanings) {
    throw_known(result, what, std::span(meanings.begin(), meanings.size()));
    throw_known(result, what, common_meanings());
    throw Failure(ErrorCode::kHypercall, fmt::format("the hypervisor refused to {}: {}", what,
                                                     std::strerror(static_cast<int>(-result))));
}

}  // namespace torii::dom0
