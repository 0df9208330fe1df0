#pragma once
// callback_op (public callback.h): rdi = CallbackOp, rsi = guest pointer to the structure. set_callbacks
// registers the same three at once: rdi = event, rsi = failsafe, rdx = syscall entry.

#include <cstdint>

namespace torii::abi {

enum class CallbackOp : uint32_t {
    kRegister = 0,
    kUnregister = 1,
};

enum class CallbackType : uint16_t {
    kEvent = 0,
    kFailsafe = 1,
    kSyscall = 2,
    kSysenterDeprecated = 3,
    kNmi = 4,
    kSysenter = 5,
    kSyscall32 = 7,
};

inline constexpr uint16_t kCallbackMaskEvents = 1u << 0;

struct CallbackRegister {
    uint16_t type;
    uint16_t flags;
    uint32_t padding;
    uint64_t address;
};

struct CallbackUnregister {
    uint16_t type;
    uint16_t unused;
};

}  // namespace torii::abi
