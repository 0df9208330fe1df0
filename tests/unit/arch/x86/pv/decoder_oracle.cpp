#include "decoder_oracle.h"

#include <Zydis/Zydis.h>

#include <map>
#include <sstream>

#include "arch/x86/pv/decoder.h"

namespace torii::test {
using namespace pv;
namespace {

const std::map<ZydisMnemonic, Operation> kMnemonics = {
    {ZYDIS_MNEMONIC_CPUID, Operation::kCpuid},
    {ZYDIS_MNEMONIC_RDMSR, Operation::kReadMsr},
    {ZYDIS_MNEMONIC_WRMSR, Operation::kWriteMsr},
    {ZYDIS_MNEMONIC_RDTSC, Operation::kReadTsc},
    {ZYDIS_MNEMONIC_RDTSCP, Operation::kReadTscAux},
    {ZYDIS_MNEMONIC_RDPMC, Operation::kReadPmc},
    {ZYDIS_MNEMONIC_XSETBV, Operation::kSetXcr},
    {ZYDIS_MNEMONIC_CLTS, Operation::kClearTaskSwitched},
    {ZYDIS_MNEMONIC_WBINVD, Operation::kWriteBackInvalidate},
    {ZYDIS_MNEMONIC_HLT, Operation::kHalt},
    {ZYDIS_MNEMONIC_CLI, Operation::kClearInterrupts},
    {ZYDIS_MNEMONIC_STI, Operation::kSetInterrupts},
    {ZYDIS_MNEMONIC_IN, Operation::kIn},
    {ZYDIS_MNEMONIC_OUT, Operation::kOut},
    {ZYDIS_MNEMONIC_INSB, Operation::kInString},
    {ZYDIS_MNEMONIC_INSW, Operation::kInString},
    {ZYDIS_MNEMONIC_INSD, Operation::kInString},
    {ZYDIS_MNEMONIC_OUTSB, Operation::kOutString},
    {ZYDIS_MNEMONIC_OUTSW, Operation::kOutString},
    {ZYDIS_MNEMONIC_OUTSD, Operation::kOutString},
    {ZYDIS_MNEMONIC_MOV, Operation::kMove},
    {ZYDIS_MNEMONIC_XCHG, Operation::kExchange},
    {ZYDIS_MNEMONIC_CMPXCHG, Operation::kCompareExchange},
    {ZYDIS_MNEMONIC_XADD, Operation::kExchangeAdd},
    {ZYDIS_MNEMONIC_BTS, Operation::kBitSet},
    {ZYDIS_MNEMONIC_BTR, Operation::kBitReset},
    {ZYDIS_MNEMONIC_BTC, Operation::kBitComplement},
    {ZYDIS_MNEMONIC_ADD, Operation::kAdd},
    {ZYDIS_MNEMONIC_OR, Operation::kOr},
    {ZYDIS_MNEMONIC_AND, Operation::kAnd},
    {ZYDIS_MNEMONIC_SUB, Operation::kSubtract},
    {ZYDIS_MNEMONIC_XOR, Operation::kXor},
    {ZYDIS_MNEMONIC_STOSB, Operation::kStoreString},
    {ZYDIS_MNEMONIC_STOSW, Operation::kStoreString},
    {ZYDIS_MNEMONIC_STOSD, Operation::kStoreString},
    {ZYDIS_MNEMONIC_STOSQ, Operation::kStoreString},
    {ZYDIS_MNEMONIC_MOVSB, Operation::kMoveString},
    {ZYDIS_MNEMONIC_MOVSW, Operation::kMoveString},
    {ZYDIS_MNEMONIC_MOVSD, Operation::kMoveString},
    {ZYDIS_MNEMONIC_MOVSQ, Operation::kMoveString},
};

constexpr uint64_t kRip = 0x1234'5678'9ABC'DEF0;
constexpr SegmentBases kBases{.fs = 0x7FFF'1111'2222'3000, .gs = 0xFFFF'8888'0000'4000};

struct ZydisView {
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

// Distinct values, so that a register taken for another shows.
uint64_t register_value(unsigned number) {
    return 0x0101'0101'0101'0101 * (number + 1) ^ 0x8000'0000'0000'0000 * (number & 1);
}

GuestRegisters sample_registers() {
    GuestRegisters registers{};
    for (unsigned i = 0; i < 16; ++i)
        general_register(registers, i) = register_value(i);
    registers.rip = kRip;
    return registers;
}

ZydisRegisterContext zydis_registers() {
    ZydisRegisterContext context{};
    for (unsigned i = 0; i < 16; ++i) {
        context.values[ZYDIS_REGISTER_RAX + i] = register_value(i);
        context.values[ZYDIS_REGISTER_EAX + i] = register_value(i) & 0xFFFF'FFFF;
    }
    return context;
}

int register_number(ZydisRegister reg) {
    return ZydisRegisterGetId(reg);
}

class Comparison {
public:
    Comparison(const ZydisView& zydis, const Instruction& ours) : zydis_(zydis), ours_(ours) {}

    std::string run() {
        const auto& z = zydis_.instruction;
        expect("length", z.length, ours_.length);
        const auto known = kMnemonics.find(z.mnemonic);
        const bool special = z.mnemonic == ZYDIS_MNEMONIC_MOV && z.opcode_map == ZYDIS_OPCODE_MAP_0F;
        if (special)
            special_register();
        else if (known == kMnemonics.end())
            text_ << "mnemonic " << ZydisMnemonicGetString(z.mnemonic) << "; ";
        else
            expect("operation", static_cast<int>(known->second), static_cast<int>(ours_.operation));
        expect("lock", (z.attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0, ours_.locked);
        expect("rep", (z.attributes & ZYDIS_ATTRIB_HAS_REP) != 0, ours_.repeated);
        const bool fs = (z.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_FS) != 0;
        const bool gs = (z.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_GS) != 0;
        if (is_memory_store(ours_.operation)) store();
        if (ours_.has_memory || ours_.operation == Operation::kMoveString ||
            ours_.operation == Operation::kOutString) {
            expect("fs", fs, ours_.segment == SegmentOverride::kFs);
            expect("gs", gs, ours_.segment == SegmentOverride::kGs);
        }
        if (ours_.operation == Operation::kIn || ours_.operation == Operation::kOut) port();
        if (ours_.operation == Operation::kInString || ours_.operation == Operation::kOutString)
            string_port();
        return text_.str();
    }

private:
    template <class A, class B>
    void expect(const char* what, A zydis, B ours) {
        if (static_cast<int64_t>(zydis) != static_cast<int64_t>(ours))
            text_ << what << ": zydis " << std::hex << static_cast<int64_t>(zydis) << " ours "
                  << static_cast<int64_t>(ours) << std::dec << "; ";
    }

    void special_register() {
        const auto& to = zydis_.operands[0].reg.value;
        const auto& from = zydis_.operands[1].reg.value;
        const bool writes = ZydisRegisterGetClass(from) == ZYDIS_REGCLASS_GPR64;
        const auto reg = writes ? to : from;
        const bool control = ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_CONTROL;
        const Operation operation = control
                                        ? (writes ? Operation::kMoveToControl : Operation::kMoveFromControl)
                                        : (writes ? Operation::kMoveToDebug : Operation::kMoveFromDebug);
        expect("operation", static_cast<int>(operation), static_cast<int>(ours_.operation));
        expect("special register", register_number(reg), ours_.reg);
        expect("general register", register_number(writes ? from : to), ours_.rm);
    }

    void store() {
        const auto& target = zydis_.operands[0];
        expect("target is memory", target.type == ZYDIS_OPERAND_TYPE_MEMORY, true);
        expect("operand bits", target.size, ours_.operand_bytes * 8);
        expect("address bits", zydis_.instruction.address_width, ours_.address_bytes * 8);
        if (!ours_.has_memory) return;
        address(target);
        const auto& source = zydis_.operands[1];
        if (ours_.source == Source::kRegister) {
            expect("source is register", source.type == ZYDIS_OPERAND_TYPE_REGISTER, true);
            if (source.type != ZYDIS_OPERAND_TYPE_REGISTER) return;
            const bool high = source.reg.value >= ZYDIS_REGISTER_AH && source.reg.value <= ZYDIS_REGISTER_BH;
            expect("high byte", high, ours_.reg_is_high_byte);
            const int number =
                high ? source.reg.value - ZYDIS_REGISTER_AH : register_number(source.reg.value);
            // Zydis numbers al, cl, .. ah, ch, .. spl in one row.
            const bool low =
                source.reg.value >= ZYDIS_REGISTER_SPL && source.reg.value <= ZYDIS_REGISTER_R15B;
            expect("source", low ? source.reg.value - ZYDIS_REGISTER_SPL + 4 : number, ours_.reg);
        } else {
            expect("source is immediate", source.type == ZYDIS_OPERAND_TYPE_IMMEDIATE, true);
            const bool bit = zydis_.instruction.opcode == 0xBA;
            expect("immediate", bit ? source.imm.value.u & 0xFF : source.imm.value.u, ours_.immediate);
        }
    }

    void address(const ZydisDecodedOperand& target) {
        // Zydis 4.0.0 takes r13d for "no base, 32-bit displacement" when REX.B and 32-bit addresses meet; SDM
        // volume 2, table 2-3, and the test that runs such an instruction say otherwise.
        const auto& raw = zydis_.instruction.raw;
        if (ours_.address_bytes == 4 && raw.modrm.mod == 0 && raw.modrm.rm == 4 && raw.sib.base == 5 &&
            raw.rex.B == 1)
            return;
        ZyanU64 expected = 0;
        const ZydisRegisterContext context = zydis_registers();
        if (!ZYAN_SUCCESS(
                ZydisCalcAbsoluteAddressEx(&zydis_.instruction, &target, kRip, &context, &expected))) {
            text_ << "zydis has no address; ";
            return;
        }
        if (target.mem.segment == ZYDIS_REGISTER_FS) expected += kBases.fs;
        if (target.mem.segment == ZYDIS_REGISTER_GS) expected += kBases.gs;
        Instruction plain = ours_;
        plain.source = Source::kImmediate;  // Zydis leaves the bit number out of the address
        expect("address", expected, linear_address(plain, sample_registers(), kBases));
    }

    void port() {
        const auto& port = zydis_.operands[ours_.operation == Operation::kIn ? 1 : 0];
        const auto& data = zydis_.operands[ours_.operation == Operation::kIn ? 0 : 1];
        expect("port in dx", port.type == ZYDIS_OPERAND_TYPE_REGISTER, ours_.port_in_dx);
        expect("port width", data.size, ours_.operand_bytes * 8);
        if (!ours_.port_in_dx) expect("port", port.imm.value.u & 0xFF, ours_.immediate);
    }

    void string_port() {
        const auto& memory = zydis_.operands[ours_.operation == Operation::kInString ? 0 : 1];
        expect("string width", memory.size, ours_.operand_bytes * 8);
        expect("address bits", zydis_.instruction.address_width, ours_.address_bytes * 8);
    }

    const ZydisView& zydis_;
    const Instruction& ours_;
    std::ostringstream text_;
};

// What the header of the decoder promises to know, in Zydis' terms.
bool is_known(const ZydisView& view) {
    const auto& z = view.instruction;
    if (!kMnemonics.contains(z.mnemonic)) return false;
    unsigned segments = 0;
    bool rep = false;
    for (unsigned i = 0; i < z.raw.prefix_count; ++i) {
        const uint8_t value = z.raw.prefixes[i].value;
        if (value == 0xF2) return false;
        if (value == 0xF3) rep = true;
        if ((value & 0xF0) == 0x40 && i + 1 != z.raw.prefix_count) return false;
        if (value == 0x66 && z.operand_count_visible == 0) {
            const Operation operation = kMnemonics.at(z.mnemonic);
            if (!is_memory_store(operation) && operation != Operation::kInString &&
                operation != Operation::kOutString)
                return false;
        }
        if (value == 0x26 || value == 0x2E || value == 0x36 || value == 0x3E || value == 0x64 ||
            value == 0x65)
            ++segments;
    }
    if (segments > 1) return false;
    const bool string = z.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
                        ((z.opcode & 0xFC) == 0x6C || (z.opcode & 0xFE) == 0xA4 || (z.opcode & 0xFE) == 0xAA);
    if (rep && !string) return false;
    if (string || z.operand_count_visible == 0) return true;
    const auto& target = view.operands[0];
    switch (z.mnemonic) {
        case ZYDIS_MNEMONIC_IN:
        case ZYDIS_MNEMONIC_OUT:
            return true;
        case ZYDIS_MNEMONIC_MOV:
            if (z.opcode_map == ZYDIS_OPCODE_MAP_0F)
                return (z.attributes & (ZYDIS_ATTRIB_HAS_OPERANDSIZE | ZYDIS_ATTRIB_HAS_LOCK)) == 0 &&
                       z.raw.modrm.mod == 3;
            // Not: moves from segment registers, and to an absolute address.
            return target.type == ZYDIS_OPERAND_TYPE_MEMORY &&
                   (z.opcode == 0x88 || z.opcode == 0x89 || z.opcode == 0xC6 || z.opcode == 0xC7);
        default:
            return target.type == ZYDIS_OPERAND_TYPE_MEMORY && (z.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0;
    }
}

}  // namespace

OracleVerdict compare_with_zydis(std::span<const uint8_t> bytes) {
    static const ZydisDecoder decoder = [] {
        ZydisDecoder made;
        ZydisDecoderInit(&made, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        return made;
    }();
    ZydisView view{};
    const bool valid = ZYAN_SUCCESS(
        ZydisDecoderDecodeFull(&decoder, bytes.data(), bytes.size(), &view.instruction, view.operands));
    auto ours = decode(bytes);
    OracleVerdict verdict;
    verdict.accepted = ours.ok();
    verdict.known = valid && is_known(view);
    if (verdict.accepted && !valid)
        verdict.difference = "Zydis refuses what ours accepts";
    else if (verdict.accepted)
        verdict.difference = Comparison(view, ours.value()).run();
    else if (verdict.known)
        verdict.difference =
            std::string("ours refuses a known ") + ZydisMnemonicGetString(view.instruction.mnemonic);
    return verdict;
}

}  // namespace torii::test
