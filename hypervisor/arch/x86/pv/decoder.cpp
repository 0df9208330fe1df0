#include "arch/x86/pv/decoder.h"

#include <bit>

namespace torii::pv {
namespace {

// What follows the opcode, and what it means.
enum class Form : uint8_t {
    kNone,              // nothing, no prefix but REX and segments
    kFixed,             // a ModRM byte that belongs to the opcode
    kMemoryReg,         // memory, register
    kMemoryImmediate,   // memory, immediate of the operand's size (at most 32 bits)
    kMemoryImmediate8,  // memory, sign-extended byte
    kMemoryBit,         // memory, bit number in a byte
    kSpecialRegister,   // control or debug register and a general one
    kPortImmediate,
    kPortDx,
    kString,
};

enum RowFlags : uint8_t {
    kWide = 0,           // 2, 4 or 8 bytes by prefixes
    kByte = 1 << 0,      // 1 byte
    kLockable = 1 << 1,  // may carry a lock prefix
    kNoQuad = 1 << 2,    // REX.W doesn't widen it
};

inline constexpr uint8_t kAnyDigit = 0xFF;

struct Row {
    uint8_t opcode;
    uint8_t digit;  // ModRM.reg as part of the opcode, or the whole ModRM byte for kFixed, or kAnyDigit
    Operation operation;
    Form form;
    uint8_t flags;
};

// One-byte opcodes, sorted. Only memory destinations: a register destination never faults.
constexpr std::array kOneByteRows = {
    Row{0x00, kAnyDigit, Operation::kAdd, Form::kMemoryReg, kByte | kLockable},
    Row{0x01, kAnyDigit, Operation::kAdd, Form::kMemoryReg, kWide | kLockable},
    Row{0x08, kAnyDigit, Operation::kOr, Form::kMemoryReg, kByte | kLockable},
    Row{0x09, kAnyDigit, Operation::kOr, Form::kMemoryReg, kWide | kLockable},
    Row{0x20, kAnyDigit, Operation::kAnd, Form::kMemoryReg, kByte | kLockable},
    Row{0x21, kAnyDigit, Operation::kAnd, Form::kMemoryReg, kWide | kLockable},
    Row{0x28, kAnyDigit, Operation::kSubtract, Form::kMemoryReg, kByte | kLockable},
    Row{0x29, kAnyDigit, Operation::kSubtract, Form::kMemoryReg, kWide | kLockable},
    Row{0x30, kAnyDigit, Operation::kXor, Form::kMemoryReg, kByte | kLockable},
    Row{0x31, kAnyDigit, Operation::kXor, Form::kMemoryReg, kWide | kLockable},
    Row{0x6C, kAnyDigit, Operation::kInString, Form::kString, kByte},
    Row{0x6D, kAnyDigit, Operation::kInString, Form::kString, kWide | kNoQuad},
    Row{0x6E, kAnyDigit, Operation::kOutString, Form::kString, kByte},
    Row{0x6F, kAnyDigit, Operation::kOutString, Form::kString, kWide | kNoQuad},
    Row{0x80, 0, Operation::kAdd, Form::kMemoryImmediate, kByte | kLockable},
    Row{0x80, 1, Operation::kOr, Form::kMemoryImmediate, kByte | kLockable},
    Row{0x80, 4, Operation::kAnd, Form::kMemoryImmediate, kByte | kLockable},
    Row{0x80, 5, Operation::kSubtract, Form::kMemoryImmediate, kByte | kLockable},
    Row{0x80, 6, Operation::kXor, Form::kMemoryImmediate, kByte | kLockable},
    Row{0x81, 0, Operation::kAdd, Form::kMemoryImmediate, kWide | kLockable},
    Row{0x81, 1, Operation::kOr, Form::kMemoryImmediate, kWide | kLockable},
    Row{0x81, 4, Operation::kAnd, Form::kMemoryImmediate, kWide | kLockable},
    Row{0x81, 5, Operation::kSubtract, Form::kMemoryImmediate, kWide | kLockable},
    Row{0x81, 6, Operation::kXor, Form::kMemoryImmediate, kWide | kLockable},
    Row{0x83, 0, Operation::kAdd, Form::kMemoryImmediate8, kWide | kLockable},
    Row{0x83, 1, Operation::kOr, Form::kMemoryImmediate8, kWide | kLockable},
    Row{0x83, 4, Operation::kAnd, Form::kMemoryImmediate8, kWide | kLockable},
    Row{0x83, 5, Operation::kSubtract, Form::kMemoryImmediate8, kWide | kLockable},
    Row{0x83, 6, Operation::kXor, Form::kMemoryImmediate8, kWide | kLockable},
    Row{0x86, kAnyDigit, Operation::kExchange, Form::kMemoryReg, kByte | kLockable},
    Row{0x87, kAnyDigit, Operation::kExchange, Form::kMemoryReg, kWide | kLockable},
    Row{0x88, kAnyDigit, Operation::kMove, Form::kMemoryReg, kByte},
    Row{0x89, kAnyDigit, Operation::kMove, Form::kMemoryReg, kWide},
    Row{0xA4, kAnyDigit, Operation::kMoveString, Form::kString, kByte},
    Row{0xA5, kAnyDigit, Operation::kMoveString, Form::kString, kWide},
    Row{0xAA, kAnyDigit, Operation::kStoreString, Form::kString, kByte},
    Row{0xAB, kAnyDigit, Operation::kStoreString, Form::kString, kWide},
    Row{0xC6, 0, Operation::kMove, Form::kMemoryImmediate, kByte},
    Row{0xC7, 0, Operation::kMove, Form::kMemoryImmediate, kWide},
    Row{0xE4, kAnyDigit, Operation::kIn, Form::kPortImmediate, kByte},
    Row{0xE5, kAnyDigit, Operation::kIn, Form::kPortImmediate, kWide | kNoQuad},
    Row{0xE6, kAnyDigit, Operation::kOut, Form::kPortImmediate, kByte},
    Row{0xE7, kAnyDigit, Operation::kOut, Form::kPortImmediate, kWide | kNoQuad},
    Row{0xEC, kAnyDigit, Operation::kIn, Form::kPortDx, kByte},
    Row{0xED, kAnyDigit, Operation::kIn, Form::kPortDx, kWide | kNoQuad},
    Row{0xEE, kAnyDigit, Operation::kOut, Form::kPortDx, kByte},
    Row{0xEF, kAnyDigit, Operation::kOut, Form::kPortDx, kWide | kNoQuad},
    Row{0xF4, kAnyDigit, Operation::kHalt, Form::kNone, kWide},
    Row{0xFA, kAnyDigit, Operation::kClearInterrupts, Form::kNone, kWide},
    Row{0xFB, kAnyDigit, Operation::kSetInterrupts, Form::kNone, kWide},
};

// Opcodes after 0F, sorted.
constexpr std::array kTwoByteRows = {
    Row{0x01, 0xD1, Operation::kSetXcr, Form::kFixed, kWide},
    Row{0x01, 0xF9, Operation::kReadTscAux, Form::kFixed, kWide},
    Row{0x06, kAnyDigit, Operation::kClearTaskSwitched, Form::kNone, kWide},
    Row{0x09, kAnyDigit, Operation::kWriteBackInvalidate, Form::kNone, kWide},
    Row{0x20, kAnyDigit, Operation::kMoveFromControl, Form::kSpecialRegister, kWide},
    Row{0x21, kAnyDigit, Operation::kMoveFromDebug, Form::kSpecialRegister, kWide},
    Row{0x22, kAnyDigit, Operation::kMoveToControl, Form::kSpecialRegister, kWide},
    Row{0x23, kAnyDigit, Operation::kMoveToDebug, Form::kSpecialRegister, kWide},
    Row{0x30, kAnyDigit, Operation::kWriteMsr, Form::kNone, kWide},
    Row{0x31, kAnyDigit, Operation::kReadTsc, Form::kNone, kWide},
    Row{0x32, kAnyDigit, Operation::kReadMsr, Form::kNone, kWide},
    Row{0x33, kAnyDigit, Operation::kReadPmc, Form::kNone, kWide},
    Row{0xA2, kAnyDigit, Operation::kCpuid, Form::kNone, kWide},
    Row{0xAB, kAnyDigit, Operation::kBitSet, Form::kMemoryReg, kWide | kLockable},
    Row{0xB0, kAnyDigit, Operation::kCompareExchange, Form::kMemoryReg, kByte | kLockable},
    Row{0xB1, kAnyDigit, Operation::kCompareExchange, Form::kMemoryReg, kWide | kLockable},
    Row{0xB3, kAnyDigit, Operation::kBitReset, Form::kMemoryReg, kWide | kLockable},
    Row{0xBA, 5, Operation::kBitSet, Form::kMemoryBit, kWide | kLockable},
    Row{0xBA, 6, Operation::kBitReset, Form::kMemoryBit, kWide | kLockable},
    Row{0xBA, 7, Operation::kBitComplement, Form::kMemoryBit, kWide | kLockable},
    Row{0xBB, kAnyDigit, Operation::kBitComplement, Form::kMemoryReg, kWide | kLockable},
    Row{0xC0, kAnyDigit, Operation::kExchangeAdd, Form::kMemoryReg, kByte | kLockable},
    Row{0xC1, kAnyDigit, Operation::kExchangeAdd, Form::kMemoryReg, kWide | kLockable},
};

inline constexpr uint8_t kNoRow = 0xFF;

// First row of each opcode, so that finding one costs a load and not a search.
template <size_t N>
consteval std::array<uint8_t, 256> index_of(const std::array<Row, N>& rows) {
    std::array<uint8_t, 256> index{};
    index.fill(kNoRow);
    for (size_t i = N; i-- > 0;)
        index[rows[i].opcode] = static_cast<uint8_t>(i);
    return index;
}
constexpr auto kOneByteIndex = index_of(kOneByteRows);
constexpr auto kTwoByteIndex = index_of(kTwoByteRows);

constexpr const uint64_t GuestRegisters::*kGeneralRegisters[16] = {
    &GuestRegisters::rax, &GuestRegisters::rcx, &GuestRegisters::rdx, &GuestRegisters::rbx,
    &GuestRegisters::rsp, &GuestRegisters::rbp, &GuestRegisters::rsi, &GuestRegisters::rdi,
    &GuestRegisters::r8,  &GuestRegisters::r9,  &GuestRegisters::r10, &GuestRegisters::r11,
    &GuestRegisters::r12, &GuestRegisters::r13, &GuestRegisters::r14, &GuestRegisters::r15,
};

// One pass over the bytes of one instruction.
class Decoder {
public:
    explicit Decoder(std::span<const uint8_t> bytes)
        : bytes_(bytes.size() <= kMaxInstructionBytes ? bytes : bytes.first(kMaxInstructionBytes)) {}

    Result<Instruction> run();

private:
    // The next byte; 0 once they have run out, which run() notices at its end.
    uint8_t next() {
        if (position_ < bytes_.size()) return bytes_[position_++];
        short_ = true;
        return 0;
    }

    // A little-endian number of `width` bytes (at most 4), sign-extended.
    int32_t signed_number(unsigned width) {
        uint32_t value = 0;
        for (unsigned i = 0; i < width; ++i)
            value |= uint32_t{next()} << (8 * i);
        const unsigned unused = 32 - 8 * width;
        return static_cast<int32_t>(value << unused) >> unused;
    }

    bool prefixes();
    bool prefix(uint8_t byte);
    bool set_segment(uint8_t byte);
    const Row* find_row(bool two_bytes);
    [[nodiscard]] bool prefixes_fit(const Row& row) const;
    bool operands(const Row& row);
    void set_width(const Row& row);
    void register_operand();
    bool special_register_operand(const Row& row);
    void memory_operand();
    void sib_operand();

    std::span<const uint8_t> bytes_;
    size_t position_ = 0;
    bool short_ = false;
    bool operand_size_prefix_ = false;
    uint8_t segment_byte_ = 0;
    uint8_t rex_ = 0;
    uint8_t opcode_ = 0;
    uint8_t modrm_ = 0;
    Instruction out_;
};

constexpr uint8_t kRexW = 8;
constexpr uint8_t kRexR = 4;
constexpr uint8_t kRexX = 2;
constexpr uint8_t kRexB = 1;

Result<Instruction> Decoder::run() {
    bool good = prefixes();
    if (good) {
        const bool two_bytes = opcode_ == 0x0F;
        if (two_bytes) opcode_ = next();
        const Row* row = find_row(two_bytes);
        good = row != nullptr && prefixes_fit(*row) && operands(*row);
    }
    if (short_ && bytes_.size() < kMaxInstructionBytes) return Errno::kEFAULT;
    if (short_ || !good) return Errno::kEINVAL;
    out_.length = static_cast<uint8_t>(position_);
    return out_;
}

// Takes in all prefixes and the first opcode byte.
bool Decoder::prefixes() {
    for (;;) {
        const uint8_t byte = next();
        if ((byte & 0xF0) == 0x40) {
            rex_ = byte;
            continue;
        }
        opcode_ = byte;
        const bool had_rex = rex_ != 0;
        switch (byte) {
            case 0x26:
            case 0x2E:
            case 0x36:
            case 0x3E:
            case 0x64:
            case 0x65:
            case 0x66:
            case 0x67:
            case 0xF0:
            case 0xF2:
            case 0xF3:
                // A REX prefix counts only right before the opcode; nobody writes one elsewhere.
                if (had_rex || !prefix(byte)) return false;
                break;
            default:
                return true;
        }
    }
}

bool Decoder::prefix(uint8_t byte) {
    switch (byte) {
        case 0x66:
            operand_size_prefix_ = true;
            return true;
        case 0x67:
            out_.address_bytes = 4;
            return true;
        case 0xF0:
            out_.locked = true;
            return true;
        case 0xF3:
            out_.repeated = true;
            return true;
        case 0xF2:
            return false;  // means nothing for any instruction here
        default:
            return set_segment(byte);
    }
}

// Two different overrides: the manuals don't say which one wins.
bool Decoder::set_segment(uint8_t byte) {
    if (segment_byte_ != 0 && segment_byte_ != byte) return false;
    segment_byte_ = byte;
    if (byte == 0x64) out_.segment = SegmentOverride::kFs;
    if (byte == 0x65) out_.segment = SegmentOverride::kGs;
    return true;
}

const Row* Decoder::find_row(bool two_bytes) {
    const std::span<const Row> rows =
        two_bytes ? std::span<const Row>(kTwoByteRows) : std::span<const Row>(kOneByteRows);
    size_t i = two_bytes ? kTwoByteIndex[opcode_] : kOneByteIndex[opcode_];
    if (i == kNoRow) return nullptr;
    const Form form = rows[i].form;
    if (form == Form::kNone || form == Form::kPortImmediate || form == Form::kPortDx || form == Form::kString)
        return &rows[i];
    modrm_ = next();
    const uint8_t digit = (modrm_ >> 3) & 7;
    for (; i < rows.size() && rows[i].opcode == opcode_; ++i) {
        const uint8_t found = rows[i].form == Form::kFixed ? modrm_ : digit;
        if (rows[i].digit == kAnyDigit || rows[i].digit == found) return &rows[i];
    }
    return nullptr;
}

bool Decoder::prefixes_fit(const Row& row) const {
    if (out_.locked && (row.flags & kLockable) == 0) return false;
    if (out_.repeated && row.form != Form::kString) return false;
    const bool has_width =
        row.form != Form::kNone && row.form != Form::kFixed && row.form != Form::kSpecialRegister;
    return has_width || !operand_size_prefix_;
}

void Decoder::set_width(const Row& row) {
    if ((row.flags & kByte) != 0)
        out_.operand_bytes = 1;
    else if ((rex_ & kRexW) != 0 && (row.flags & kNoQuad) == 0)
        out_.operand_bytes = 8;
    else
        out_.operand_bytes = operand_size_prefix_ && (rex_ & kRexW) == 0 ? 2 : 4;
}

bool Decoder::operands(const Row& row) {
    out_.operation = row.operation;
    set_width(row);
    const bool is_register = (modrm_ >> 6) == 3;
    switch (row.form) {
        case Form::kNone:
        case Form::kFixed:
        case Form::kString:
            return true;
        case Form::kPortImmediate:
            out_.immediate = next();
            return true;
        case Form::kPortDx:
            out_.port_in_dx = true;
            return true;
        case Form::kSpecialRegister:
            return special_register_operand(row);
        case Form::kMemoryReg:
            if (is_register) return false;
            register_operand();
            memory_operand();
            return true;
        case Form::kMemoryImmediate:
        case Form::kMemoryImmediate8:
        case Form::kMemoryBit: {
            if (is_register) return false;
            memory_operand();
            out_.source = Source::kImmediate;
            const unsigned width = row.form != Form::kMemoryImmediate ? 1 : out_.operand_bytes;
            out_.immediate = signed_number(width < 4 ? width : 4);
            if (row.form == Form::kMemoryBit) out_.immediate &= 0xFF;
            return true;
        }
    }
    return false;
}

void Decoder::register_operand() {
    out_.source = Source::kRegister;
    out_.reg = static_cast<uint8_t>(((modrm_ >> 3) & 7) | ((rex_ & kRexR) != 0 ? 8 : 0));
    if (out_.operand_bytes == 1 && rex_ == 0 && out_.reg >= 4) {
        out_.reg_is_high_byte = true;
        out_.reg = static_cast<uint8_t>(out_.reg - 4);
    }
}

// The mod bits are ignored by CPUs, but always 3 in real code. Only registers that exist.
bool Decoder::special_register_operand(const Row& row) {
    out_.operand_bytes = 8;
    out_.rm = static_cast<uint8_t>((modrm_ & 7) | ((rex_ & kRexB) != 0 ? 8 : 0));
    out_.reg = static_cast<uint8_t>(((modrm_ >> 3) & 7) | ((rex_ & kRexR) != 0 ? 8 : 0));
    const bool debug = row.operation == Operation::kMoveFromDebug || row.operation == Operation::kMoveToDebug;
    const bool exists =
        debug ? out_.reg < 8 : out_.reg == 0 || (out_.reg >= 2 && out_.reg <= 4) || out_.reg == 8;
    return exists && (modrm_ >> 6) == 3;
}

void Decoder::memory_operand() {
    out_.has_memory = true;
    const unsigned mod = modrm_ >> 6;
    const uint8_t low = modrm_ & 7;
    if (low == 4) {
        sib_operand();
    } else if (low == 5 && mod == 0) {
        out_.memory.base = kRipRegister;
        out_.memory.displacement = signed_number(4);
    } else {
        out_.memory.base = static_cast<uint8_t>(low | ((rex_ & kRexB) != 0 ? 8 : 0));
    }
    if (mod == 1) out_.memory.displacement = signed_number(1);
    if (mod == 2) out_.memory.displacement = signed_number(4);
}

void Decoder::sib_operand() {
    const uint8_t sib = next();
    const auto index = static_cast<uint8_t>(((sib >> 3) & 7) | ((rex_ & kRexX) != 0 ? 8 : 0));
    const auto base = static_cast<uint8_t>((sib & 7) | ((rex_ & kRexB) != 0 ? 8 : 0));
    if (index != 4) {
        out_.memory.index = index;
        out_.memory.scale = sib >> 6;
    }
    if ((base & 7) == 5 && (modrm_ >> 6) == 0)
        out_.memory.displacement = signed_number(4);
    else
        out_.memory.base = base;
}

}  // namespace

Result<Instruction> decode(std::span<const uint8_t> bytes) {
    return Decoder(bytes).run();
}

Result<Instruction> decode_forced_emulation(std::span<const uint8_t> bytes) {
    constexpr uint8_t kWhole[] = {0x0F, 0x0B, 0x78, 0x65, 0x6E, 0x0F, 0xA2};
    static_assert(kWhole[4] == abi::kForcedEmulationPrefix[4]);
    for (size_t i = 0; i < sizeof(kWhole); ++i) {
        if (i == bytes.size()) return Errno::kEFAULT;
        if (bytes[i] != kWhole[i]) return Errno::kEINVAL;
    }
    Instruction instruction;
    instruction.operation = Operation::kCpuid;
    instruction.operand_bytes = 4;
    instruction.length = sizeof(kWhole);
    return instruction;
}

uint64_t general_register(const GuestRegisters& registers, unsigned number) {
    return registers.*kGeneralRegisters[number & 15];
}

uint64_t& general_register(GuestRegisters& registers, unsigned number) {
    return const_cast<uint64_t&>(registers.*kGeneralRegisters[number & 15]);
}

uint64_t segment_base(SegmentOverride segment, const SegmentBases& bases) {
    if (segment == SegmentOverride::kNone) return 0;
    return segment == SegmentOverride::kFs ? bases.fs : bases.gs;
}

uint64_t linear_address(const Instruction& instruction, const GuestRegisters& registers,
                        const SegmentBases& bases) {
    const MemoryOperand& memory = instruction.memory;
    uint64_t address = static_cast<uint64_t>(int64_t{memory.displacement});
    if (memory.base == kRipRegister)
        address += registers.rip + instruction.length;
    else if (memory.base != kNoRegister)
        address += general_register(registers, memory.base);
    if (memory.index != kNoRegister) address += general_register(registers, memory.index) << memory.scale;

    const bool bit_string = instruction.operation == Operation::kBitSet ||
                            instruction.operation == Operation::kBitReset ||
                            instruction.operation == Operation::kBitComplement;
    if (bit_string && instruction.source == Source::kRegister) {
        // The bit number is signed and may lie outside the operand (Intel SDM volume 2, BT).
        const unsigned unused = 64 - 8 * instruction.operand_bytes;
        const int64_t bit =
            static_cast<int64_t>(general_register(registers, instruction.reg) << unused) >> unused;
        const unsigned unit = static_cast<unsigned>(std::countr_zero(8u * instruction.operand_bytes));
        address += static_cast<uint64_t>((bit >> unit) * instruction.operand_bytes);
    }
    if (instruction.address_bytes == 4) address &= 0xFFFF'FFFF;
    return address + segment_base(instruction.segment, bases);
}

}  // namespace torii::pv
