// The instructions of a PV guest that the hypervisor carries out itself, decoded from their bytes.
//
// Only what a guest kernel has emulated is known (privileged registers, port I/O, stores to page tables), in
// 64-bit mode and in the encodings that compilers and kernels use. Whatever is accepted means exactly what
// the vendors' manuals say (held against Zydis by tests/fuzz/decoder_fuzz.cpp); everything else is refused,
// which is always safe: the guest then gets the exception that the CPU raised.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "arch/x86/pv/vcpu_state.h"
#include "base/result.h"

namespace torii::pv {

inline constexpr size_t kMaxInstructionBytes = 15;  // Intel SDM volume 2, section 2.3.11

enum class Operation : uint8_t {
    kCpuid,
    kReadMsr,
    kWriteMsr,
    kReadTsc,
    kReadTscAux,  // rdtscp
    kReadPmc,
    kSetXcr,
    kClearTaskSwitched,
    kWriteBackInvalidate,
    kHalt,
    kClearInterrupts,
    kSetInterrupts,
    kMoveFromControl,
    kMoveToControl,
    kMoveFromDebug,
    kMoveToDebug,
    kIn,
    kOut,
    kInString,
    kOutString,
    // From here on: stores to memory, which may hit a page table.
    kMove,
    kExchange,
    kCompareExchange,
    kExchangeAdd,
    kBitSet,
    kBitReset,
    kBitComplement,
    kAdd,
    kOr,
    kAnd,
    kSubtract,
    kXor,
    kStoreString,
    kMoveString,
};

constexpr bool is_memory_store(Operation operation) {
    return operation >= Operation::kMove;
}

enum class Source : uint8_t { kNone, kRegister, kImmediate };
enum class SegmentOverride : uint8_t { kNone, kFs, kGs };

inline constexpr uint8_t kNoRegister = 16;
inline constexpr uint8_t kRipRegister = 17;

// base + index * 2^scale + displacement, cut to `address_bytes`, plus the segment's base.
struct MemoryOperand {
    uint8_t base = kNoRegister;  // a general register's number, kRipRegister or kNoRegister
    uint8_t index = kNoRegister;
    uint8_t scale = 0;
    int32_t displacement = 0;
};

struct Instruction {
    Operation operation{};
    uint8_t length = 0;         // bytes, prefixes included
    uint8_t operand_bytes = 0;  // 1, 2, 4 or 8
    uint8_t address_bytes = 8;  // 4 or 8
    SegmentOverride segment = SegmentOverride::kNone;
    bool locked = false;
    bool repeated = false;    // F3, string instructions only
    bool has_memory = false;  // `memory` holds the operand of a ModRM byte
    bool port_in_dx = false;  // in, out: else the port is `immediate`

    Source source = Source::kNone;  // of a store
    uint8_t reg = 0;  // register operand (ModRM.reg), also the number of a control or debug register
    bool reg_is_high_byte = false;  // ah, ch, dh or bh: `reg` then is 0 to 3
    uint8_t rm = 0;                 // register operand (ModRM.rm) where has_memory is false
    int64_t immediate = 0;          // sign-extended; bit numbers and ports zero-extended
    MemoryOperand memory;
};

// Decodes the instruction at the start of `bytes`, which holds what could be read of the 15 bytes from its
// address. EFAULT: it goes on behind the end of `bytes` (fewer than 15). EINVAL: none of the above.
Result<Instruction> decode(std::span<const uint8_t> bytes);

// Decodes ud2; .ascii "xen"; cpuid. `length` covers all seven bytes. Errors as decode().
Result<Instruction> decode_forced_emulation(std::span<const uint8_t> bytes);

// General registers by the number that instructions use for them.
uint64_t& general_register(GuestRegisters& registers, unsigned number);
uint64_t general_register(const GuestRegisters& registers, unsigned number);

// Bases of the segments that still have one in 64-bit mode.
struct SegmentBases {
    uint64_t fs = 0;
    uint64_t gs = 0;
};

// The linear address of the memory operand. For bit operations with a register as bit number it is that of
// the operand-sized unit which holds the bit. Not checked for being canonical.
uint64_t linear_address(const Instruction& instruction, const GuestRegisters& registers,
                        const SegmentBases& bases);

// The segment's base for an implicit operand (rsi of movs and outs).
uint64_t segment_base(SegmentOverride segment, const SegmentBases& bases);

}  // namespace torii::pv
