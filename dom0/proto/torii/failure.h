#pragma once
// The one exception of the daemon and the command line: a stable code and a sentence that says what was
// asked, what was found and what to do.

#include <stdexcept>
#include <string>

namespace torii {

// Numerically libvirt's (libvirt/virterror.h, VIR_ERR_*), so that a libvirt endpoint is a mapping of names.
enum class ErrorCode : int {
    kOk = 0,
    kInternal = 1,
    kNoMemory = 2,
    kNotSupported = 3,
    kNoConnection = 5,
    kInvalidArgument = 8,
    kOperationFailed = 9,
    kHypercall = 15,
    kNoKernel = 17,
    kNoXenstore = 24,
    kDomainExists = 28,
    kParseFailed = 32,
    kConfigurationSyntax = 33,
    kSystem = 38,
    kRpc = 39,
    kNoDomain = 42,
    kOperationInvalid = 55,
    kConfigurationUnsupported = 67,
    kTimeout = 68,
    kAborted = 78,
    kOverflow = 82,
    kResourceBusy = 87,
    kAccessDenied = 88,
};

class Failure : public std::runtime_error {
public:
    Failure(ErrorCode code, const std::string& sentence) : std::runtime_error(sentence), code_(code) {}
    ErrorCode code() const { return code_; }

private:
    ErrorCode code_;
};

}  // namespace torii
