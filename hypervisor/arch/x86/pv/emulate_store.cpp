// Stores of a guest kernel to page tables that are mapped read-only: what the entry becomes.
#include "arch/x86/pv/emulate.h"

namespace torii::pv {
namespace {

constexpr unsigned kRax = 0, kRcx = 1, kRsi = 6, kRdi = 7;

constexpr uint64_t kFlagParity = 1u << 2;
constexpr uint64_t kFlagAdjust = 1u << 4;
constexpr uint64_t kFlagZero = 1u << 6;
constexpr uint64_t kFlagSign = 1u << 7;
constexpr uint64_t kFlagOverflow = 1u << 11;
constexpr uint64_t kArithmeticFlags =
    kFlagCarry | kFlagParity | kFlagAdjust | kFlagZero | kFlagSign | kFlagOverflow;

constexpr uint64_t ones(unsigned bytes) {
    return bytes == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * bytes)) - 1;
}

// Zero, sign and parity of a result of `bytes` bytes.
uint64_t result_flags(uint64_t result, unsigned bytes) {
    uint64_t flags = 0;
    if ((result & ones(bytes)) == 0) flags |= kFlagZero;
    if ((result >> (8 * bytes - 1) & 1) != 0) flags |= kFlagSign;
    if ((__builtin_popcount(static_cast<unsigned>(result & 0xFF)) & 1) == 0) flags |= kFlagParity;
    return flags;
}

uint64_t add_flags(uint64_t a, uint64_t b, uint64_t result, unsigned bytes) {
    uint64_t flags = result_flags(result, bytes) | ((a ^ b ^ result) & kFlagAdjust);
    if ((result & ones(bytes)) < a) flags |= kFlagCarry;
    if ((((a ^ result) & (b ^ result)) >> (8 * bytes - 1) & 1) != 0) flags |= kFlagOverflow;
    return flags;
}

uint64_t subtract_flags(uint64_t a, uint64_t b, uint64_t result, unsigned bytes) {
    uint64_t flags = result_flags(result, bytes) | ((a ^ b ^ result) & kFlagAdjust);
    if (a < b) flags |= kFlagCarry;
    if ((((a ^ b) & (a ^ result)) >> (8 * bytes - 1) & 1) != 0) flags |= kFlagOverflow;
    return flags;
}

bool is_string(Operation operation) {
    return operation == Operation::kStoreString || operation == Operation::kMoveString;
}

}  // namespace

class StoreEmulator {
public:
    StoreEmulator(const Instruction& instruction, const GuestRegisters& registers, const SegmentBases& bases,
                  const FaultedStore& store)
        : instruction_(instruction),
          registers_(registers),
          bases_(bases),
          store_(store),
          bytes_(instruction.operand_bytes),
          out_(instruction, registers) {}

    Emulation run() {
        out_.action = action();
        return out_;
    }

private:
    Action action() {
        if (!is_memory_store(instruction_.operation))
            return refuse("an instruction that isn't a known store");
        if (is_string(instruction_.operation) && !string_step()) return Proceed{};
        const uint64_t address = target();
        const uint64_t entry_address = store_.fault_address & ~uint64_t{7};
        if (address - entry_address > 8 - bytes_)
            return refuse("a store that isn't inside one page-table entry");

        const unsigned shift = static_cast<unsigned>(address & 7) * 8;
        const uint64_t old = (store_.entry >> shift) & ones(bytes_);
        bool writes = true;
        const uint64_t value = compute(old, writes) & ones(bytes_);
        if (!writes) return Proceed{};
        return WriteEntry{(store_.entry & ~(ones(bytes_) << shift)) | value << shift};
    }

    static Refuse refuse(const char* reason) { return {FaultVector::kPageFault, reason}; }

    [[nodiscard]] uint64_t target() const {
        if (!is_string(instruction_.operation)) return linear_address(instruction_, registers_, bases_);
        return merge_register(0, registers_.rdi, instruction_.address_bytes);
    }

    // Moves the registers of a string store by one element; false: nothing left to do.
    bool string_step() {
        const unsigned width = instruction_.address_bytes;
        if (instruction_.repeated) {
            const uint64_t count = merge_register(0, registers_.rcx, width);
            if (count == 0) return false;
            out_.set_register(kRcx, merge_register(0, count - 1, width));
            if (count != 1) out_.rip_ = registers_.rip;
        }
        const uint64_t step =
            (registers_.rflags & kFlagDirection) != 0 ? -uint64_t{bytes_} : uint64_t{bytes_};
        out_.set_register(kRdi, merge_register(0, registers_.rdi + step, width));
        if (instruction_.operation == Operation::kMoveString)
            out_.set_register(kRsi, merge_register(0, registers_.rsi + step, width));
        return true;
    }

    [[nodiscard]] uint64_t source() const {
        if (instruction_.source == Source::kImmediate)
            return static_cast<uint64_t>(instruction_.immediate) & ones(bytes_);
        const uint64_t value = general_register(registers_, instruction_.reg);
        return (instruction_.reg_is_high_byte ? value >> 8 : value) & ones(bytes_);
    }

    void set_source_register(uint64_t value) {
        const uint64_t before = general_register(registers_, instruction_.reg);
        if (instruction_.reg_is_high_byte)
            out_.set_register(instruction_.reg, (before & ~uint64_t{0xFF00}) | (value & 0xFF) << 8);
        else
            out_.set_register(instruction_.reg, merge_register(before, value, bytes_));
    }

    void set_flags(uint64_t flags, uint64_t which = kArithmeticFlags) {
        out_.rflags_ = (out_.rflags_ & ~which) | (flags & which);
    }

    // What the operand becomes. `old` and the result count in the operand's low bytes.
    uint64_t compute(uint64_t old, bool& writes) {
        switch (instruction_.operation) {
            case Operation::kMove:
                return source();
            case Operation::kStoreString:
                return registers_.rax;
            case Operation::kMoveString:
                return store_.source;
            case Operation::kExchange:
                set_source_register(old);
                return source();
            case Operation::kCompareExchange:
                return compare_exchange(old, writes);
            case Operation::kBitSet:
            case Operation::kBitReset:
            case Operation::kBitComplement:
                return bit_operation(old);
            default:
                return arithmetic(old);
        }
    }

    uint64_t compare_exchange(uint64_t old, bool& writes) {
        const uint64_t accumulator = registers_.rax & ones(bytes_);
        set_flags(subtract_flags(accumulator, old, accumulator - old, bytes_));
        if (accumulator == old) return source();
        out_.set_register(kRax, merge_register(registers_.rax, old, bytes_));
        writes = false;
        return old;
    }

    // Only the carry flag is defined afterwards; CPUs keep the others.
    uint64_t bit_operation(uint64_t old) {
        const uint64_t bit = uint64_t{1} << (source() & (8 * bytes_ - 1));
        set_flags((old & bit) != 0 ? kFlagCarry : 0, kFlagCarry);
        if (instruction_.operation == Operation::kBitSet) return old | bit;
        return instruction_.operation == Operation::kBitReset ? old & ~bit : old ^ bit;
    }

    uint64_t arithmetic(uint64_t old) {
        const uint64_t operand = source();
        uint64_t result = 0;
        switch (instruction_.operation) {
            case Operation::kAdd:
            case Operation::kExchangeAdd:
                result = old + operand;
                set_flags(add_flags(old, operand, result, bytes_));
                if (instruction_.operation == Operation::kExchangeAdd) set_source_register(old);
                return result;
            case Operation::kSubtract:
                result = old - operand;
                set_flags(subtract_flags(old, operand, result, bytes_));
                return result;
            case Operation::kAnd:
                result = old & operand;
                break;
            case Operation::kOr:
                result = old | operand;
                break;
            default:
                result = old ^ operand;
                break;
        }
        set_flags(result_flags(result, bytes_));
        return result;
    }

    const Instruction& instruction_;
    const GuestRegisters& registers_;
    const SegmentBases& bases_;
    const FaultedStore& store_;
    const unsigned bytes_;
    Emulation out_;
};

bool reads_memory(const Instruction& instruction) {
    return instruction.operation == Operation::kMoveString;
}

uint64_t source_address(const Instruction& instruction, const GuestRegisters& registers,
                        const SegmentBases& bases) {
    return merge_register(0, registers.rsi, instruction.address_bytes) +
           segment_base(instruction.segment, bases);
}

Emulation emulate_entry_store(const Instruction& instruction, const GuestRegisters& registers,
                              const SegmentBases& bases, const FaultedStore& store) {
    return StoreEmulator(instruction, registers, bases, store).run();
}

}  // namespace torii::pv
