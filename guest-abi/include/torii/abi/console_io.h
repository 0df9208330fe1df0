#pragma once
// console_io (public xen.h): rdi = ConsoleIoOp, rsi = byte count, rdx = guest pointer to the bytes.

#include <cstdint>

namespace torii::abi {

enum class ConsoleIoOp : uint32_t {
    kWrite = 0,
    kRead = 1,  // rax = bytes read
};

}  // namespace torii::abi
