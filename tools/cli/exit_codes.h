#pragma once
// What `torii` returns. Scripts rely on these numbers: they are in --help and never change their meaning.

#include <torii/failure.h>

namespace torii::cli {

enum class ExitCode : int {
    kSuccess = 0,
    kFailed = 1,         // anything not listed below
    kUsage = 2,          // wrong options, values, or configuration file
    kNoDomain = 3,       // there is no such domain
    kNoDaemon = 4,       // toriid is not running, or the connection broke
    kNoPermission = 5,   // the control socket may not be used
    kNoResources = 6,    // not enough memory
    kWrongState = 7,     // not possible now: name taken, domain paused, dying, ...
    kNotSupported = 8,   // the hypervisor or the daemon cannot do this
    kBadKernel = 9,      // the kernel cannot be used
    kTimeout = 10,       // what was waited for did not happen in time
    kInterrupted = 130,  // Ctrl-C
};

constexpr ExitCode exit_code_for(ErrorCode code) {
    switch (code) {
        case ErrorCode::kOk:
            return ExitCode::kSuccess;
        case ErrorCode::kInvalidArgument:
        case ErrorCode::kParseFailed:
        case ErrorCode::kConfigurationSyntax:
        case ErrorCode::kConfigurationUnsupported:
            return ExitCode::kUsage;
        case ErrorCode::kNoDomain:
            return ExitCode::kNoDomain;
        case ErrorCode::kNoConnection:
        case ErrorCode::kRpc:
            return ExitCode::kNoDaemon;
        case ErrorCode::kAccessDenied:
            return ExitCode::kNoPermission;
        case ErrorCode::kNoMemory:
            return ExitCode::kNoResources;
        case ErrorCode::kDomainExists:
        case ErrorCode::kOperationInvalid:
        case ErrorCode::kResourceBusy:
            return ExitCode::kWrongState;
        case ErrorCode::kNotSupported:
            return ExitCode::kNotSupported;
        case ErrorCode::kNoKernel:
            return ExitCode::kBadKernel;
        case ErrorCode::kTimeout:
            return ExitCode::kTimeout;
        default:
            return ExitCode::kFailed;
    }
}

}  // namespace torii::cli
