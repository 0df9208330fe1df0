#include "arch/x86/pv/emulate.h"

namespace torii::pv {

constexpr unsigned kRax = 0, kRcx = 1, kRsi = 6, kRdi = 7;

uint64_t guest_cr4_after_write(uint64_t current, uint64_t wanted, bool has_fsgsbase, bool has_xsave) {
    uint64_t own = kCr4Tsd | kCr4De;
    if (has_fsgsbase) own |= kCr4Fsgsbase;
    if (has_xsave) own |= kCr4Osxsave;
    return (current & ~own) | (wanted & own);
}

bool is_valid_xcr0(uint64_t value, uint64_t offered) {
    constexpr uint64_t kX87 = 1, kSse = 2, kAvx = 4, kAvx512 = 7 << 5;
    if ((value & ~offered) != 0 || (value & kX87) == 0) return false;
    if ((value & kAvx) != 0 && (value & kSse) == 0) return false;
    if ((value & kAvx512) != 0) return (value & kAvx512) == kAvx512 && (value & kAvx) != 0;
    return true;
}

bool bitmap_allows(uint16_t two_bytes, const PortAccess& access) {
    const unsigned bits = ((1u << access.width) - 1) << (access.port & 7);
    return (two_bytes & bits) == 0;
}

uint64_t merge_register(uint64_t before, uint64_t value, unsigned bytes) {
    if (bytes == 8) return value;
    if (bytes == 4) return value & 0xFFFF'FFFF;
    const uint64_t mask = (uint64_t{1} << (8 * bytes)) - 1;
    return (before & ~mask) | (value & mask);
}

Emulation::Emulation(const Instruction& instruction, const GuestRegisters& registers)
    : rip_(registers.rip + instruction.length), rflags_(registers.rflags & ~kFlagResume) {}

void Emulation::finish(GuestRegisters& registers) const {
    for (unsigned i = 0; i < write_count_; ++i)
        general_register(registers, writes_[i].number) = writes_[i].value;
    registers.rip = rip_;
    registers.rflags = rflags_;
}

void Emulation::finish(GuestRegisters& registers, uint64_t result) const {
    finish(registers);
    if (place_ == ResultPlace::kEdxEax) {
        registers.rax = result & 0xFFFF'FFFF;
        registers.rdx = result >> 32;
    } else if (place_ == ResultPlace::kRegister) {
        uint64_t& target = general_register(registers, result_register_);
        target = merge_register(target, result, result_bytes_);
    }
}

void Emulation::finish_cpuid(GuestRegisters& registers, const CpuidRegisters& result) const {
    finish(registers);
    registers.rax = result.a;
    registers.rbx = result.b;
    registers.rcx = result.c;
    registers.rdx = result.d;
}

void Emulation::finish_tsc(GuestRegisters& registers, uint64_t tsc, uint32_t aux) const {
    finish(registers, tsc);
    if (const auto* read = std::get_if<ReadTsc>(&action); read != nullptr && read->with_aux)
        registers.rcx = aux;
}

class PrivilegedEmulator {
public:
    PrivilegedEmulator(const Instruction& instruction, const GuestRegisters& registers,
                       const PrivilegedState& state)
        : instruction_(instruction), registers_(registers), state_(state), out_(instruction, registers) {}

    Emulation run() {
        out_.action = allowed_in_this_mode() ? action() : refuse("a privileged instruction in user mode");
        return out_;
    }

private:
    static Refuse refuse(const char* reason, FaultVector vector = FaultVector::kGeneralProtection) {
        return {vector, reason};
    }

    // In user mode: what isn't privileged at all (cpuid by faulting, tsc), and what depends on IOPL and
    // bitmap.
    [[nodiscard]] bool allowed_in_this_mode() const {
        switch (instruction_.operation) {
            case Operation::kCpuid:
            case Operation::kReadTsc:
            case Operation::kReadTscAux:
            case Operation::kIn:
            case Operation::kOut:
            case Operation::kInString:
            case Operation::kOutString:
            case Operation::kClearInterrupts:
            case Operation::kSetInterrupts:
                return true;
            default:
                return state_.kernel_mode;
        }
    }

    [[nodiscard]] bool has_io_privilege() const { return state_.iopl >= (state_.kernel_mode ? 1u : 3u); }

    [[nodiscard]] uint64_t rdx_rax() const { return registers_.rdx << 32 | (registers_.rax & 0xFFFF'FFFF); }

    Action action() {
        switch (instruction_.operation) {
            case Operation::kCpuid:
                return Cpuid{static_cast<uint32_t>(registers_.rax), static_cast<uint32_t>(registers_.rcx)};
            case Operation::kReadMsr:
                out_.place_ = Emulation::ResultPlace::kEdxEax;
                return ReadMsr{static_cast<uint32_t>(registers_.rcx)};
            case Operation::kWriteMsr:
                return WriteMsr{static_cast<uint32_t>(registers_.rcx), rdx_rax()};
            case Operation::kReadTsc:
            case Operation::kReadTscAux:
                return read_tsc();
            case Operation::kSetXcr:
                return set_xcr();
            case Operation::kClearTaskSwitched:
                return SetTaskSwitched{false};
            case Operation::kWriteBackInvalidate:
                return FlushCaches{};
            case Operation::kHalt:
                return Block{};
            case Operation::kClearInterrupts:
            case Operation::kSetInterrupts:
                // Event delivery is masked in shared memory; with the privilege these do nothing.
                return has_io_privilege() ? Action(Proceed{}) : refuse("cli or sti without I/O privilege");
            case Operation::kMoveFromControl:
                return read_control();
            case Operation::kMoveToControl:
                return write_control();
            case Operation::kMoveFromDebug:
            case Operation::kMoveToDebug:
                return debug();
            case Operation::kIn:
            case Operation::kOut:
                return port();
            case Operation::kInString:
            case Operation::kOutString:
                return port_string();
            default:
                return refuse("an instruction that isn't emulated");
        }
    }

    Action read_tsc() {
        if (!state_.kernel_mode && (state_.cr4 & kCr4Tsd) != 0)
            return refuse("rdtsc in user mode under CR4.TSD");
        out_.place_ = Emulation::ResultPlace::kEdxEax;
        return ReadTsc{instruction_.operation == Operation::kReadTscAux};
    }

    Action set_xcr() {
        if ((state_.cr4 & kCr4Osxsave) == 0)
            return refuse("xsetbv without CR4.OSXSAVE", FaultVector::kInvalidOpcode);
        if (static_cast<uint32_t>(registers_.rcx) != 0) return refuse("xsetbv of a register other than XCR0");
        if (!is_valid_xcr0(rdx_rax(), state_.xcr0_offered))
            return refuse("xsetbv of a combination that isn't offered");
        return SetXcr0{rdx_rax()};
    }

    Action read_control() {
        const auto result = [this](uint64_t value) {
            out_.set_register(instruction_.rm, value);
            return Proceed{};
        };
        switch (instruction_.reg) {
            case 0:
                return result(kGuestCr0 | (state_.task_switched ? kCr0TaskSwitched : 0));
            case 2:
                return result(state_.cr2);
            case 3:
                return result(state_.cr3);
            case 4:
                return result(state_.cr4);
            default:
                return refuse("a read of CR8");
        }
    }

    Action write_control() {
        const uint64_t value = general_register(registers_, instruction_.rm);
        switch (instruction_.reg) {
            case 0:
                if ((value & ~kCr0TaskSwitched) != kGuestCr0) return refuse("a change of CR0 beyond TS");
                return SetTaskSwitched{(value & kCr0TaskSwitched) != 0};
            case 2:
                return WriteCr2{value};
            case 3:
                return WriteCr3{value};
            case 4:
                return WriteCr4{
                    guest_cr4_after_write(state_.cr4, value, state_.has_fsgsbase, state_.xcr0_offered != 0)};
            default:
                return refuse("a write of CR8");
        }
    }

    // DR4 and DR5 name DR6 and DR7 unless CR4.DE is set (Intel SDM volume 3, 18.2.2).
    Action debug() {
        unsigned number = instruction_.reg;
        if (number == 4 || number == 5) {
            if ((state_.cr4 & kCr4De) != 0)
                return refuse("DR4 or DR5 under CR4.DE", FaultVector::kInvalidOpcode);
            number += 2;
        }
        if (instruction_.operation == Operation::kMoveToDebug)
            return WriteDebug{number, general_register(registers_, instruction_.rm)};
        out_.place_ = Emulation::ResultPlace::kRegister;
        out_.result_register_ = instruction_.rm;
        return ReadDebug{number};
    }

    [[nodiscard]] PortAccess access() const {
        const bool in_dx = instruction_.port_in_dx || instruction_.operation == Operation::kInString ||
                           instruction_.operation == Operation::kOutString;
        const auto port =
            static_cast<uint16_t>(in_dx ? registers_.rdx : static_cast<uint64_t>(instruction_.immediate));
        return {port, instruction_.operand_bytes, !has_io_privilege()};
    }

    Action port() {
        if (instruction_.operation == Operation::kOut)
            return WritePort{access(), static_cast<uint32_t>(
                                           merge_register(0, registers_.rax, instruction_.operand_bytes))};
        out_.place_ = Emulation::ResultPlace::kRegister;
        out_.result_register_ = kRax;
        out_.result_bytes_ = instruction_.operand_bytes;
        return ReadPort{access()};
    }

    // One element at a time: the guest comes back for the next, and can be interrupted in between.
    Action port_string() {
        const unsigned width = instruction_.address_bytes;
        const bool to_memory = instruction_.operation == Operation::kInString;
        const unsigned pointer_register = to_memory ? kRdi : kRsi;
        const uint64_t pointer = merge_register(0, general_register(registers_, pointer_register), width);
        if (instruction_.repeated) {
            const uint64_t count = merge_register(0, registers_.rcx, width);
            if (count == 0) return Proceed{};
            out_.set_register(kRcx, merge_register(registers_.rcx, count - 1, width));
            if (count != 1) out_.rip_ = registers_.rip;
        }
        const uint64_t step = instruction_.operand_bytes;
        const uint64_t moved = (registers_.rflags & kFlagDirection) != 0 ? pointer - step : pointer + step;
        out_.set_register(pointer_register, merge_register(0, moved, width));
        if (to_memory) return ReadPortToMemory{access(), pointer};
        return WritePortFromMemory{access(), pointer + segment_base(instruction_.segment, state_.bases)};
    }

    const Instruction& instruction_;
    const GuestRegisters& registers_;
    const PrivilegedState& state_;
    Emulation out_;
};

Emulation emulate_privileged(const Instruction& instruction, const GuestRegisters& registers,
                             const PrivilegedState& state) {
    return PrivilegedEmulator(instruction, registers, state).run();
}

}  // namespace torii::pv
