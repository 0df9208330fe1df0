// What a trapped instruction of a PV guest does, as data: nothing here touches a machine.
//
//   decode() -> emulate_privileged() or emulate_entry_store() -> the caller carries out `action` -> finish()
//
// Nothing of the guest's registers changes before finish(), so an action that fails leaves the instruction as
// if it hadn't run: the caller then delivers the exception instead. What is allowed follows Xen 4.17 as a
// guest sees it.
#pragma once

#include <cstdint>
#include <span>
#include <variant>

#include "arch/x86/pv/decoder.h"
#include "arch/x86/pv/vcpu_state.h"

namespace torii::pv {

inline constexpr uint64_t kCr4Tsd = 1u << 2;
inline constexpr uint64_t kCr4De = 1u << 3;
inline constexpr uint64_t kCr4Pae = 1u << 5;
inline constexpr uint64_t kCr4Mce = 1u << 6;
inline constexpr uint64_t kCr4Osfxsr = 1u << 9;
inline constexpr uint64_t kCr4Osxmmexcpt = 1u << 10;
inline constexpr uint64_t kCr4Fsgsbase = 1u << 16;
inline constexpr uint64_t kCr4Osxsave = 1u << 18;

// CR0 and CR4 as a guest finds them. CR0: PE MP ET NE WP AM PG, and TS as the guest set it.
inline constexpr uint64_t kGuestCr0 = 0x8005'0033;
inline constexpr uint64_t kCr0TaskSwitched = 1u << 3;
inline constexpr uint64_t kInitialGuestCr4 = kCr4Pae | kCr4Mce | kCr4Osfxsr | kCr4Osxmmexcpt;

// CR4 after a guest that sees `current` asked for `wanted`: it governs TSD and DE, and FSGSBASE and OSXSAVE
// where its CPU policy offers what they switch on. Attempts at other bits are dropped without a fault.
uint64_t guest_cr4_after_write(uint64_t current, uint64_t wanted, bool has_fsgsbase, bool has_xsave);

// Whether `value` may be written to XCR0 (Intel SDM volume 1, 13.3; volume 2, XSETBV), given the bits that
// the policy offers.
bool is_valid_xcr0(uint64_t value, uint64_t offered);

// What the outcome depends on beside the registers.
struct PrivilegedState {
    bool kernel_mode = false;
    uint32_t iopl = 0;  // as set by physdev_op; port instructions need 1 in the kernel, 3 in user mode
    bool task_switched = false;
    uint64_t cr2 = 0;
    uint64_t cr3 = 0;  // as the guest may see it: machine frame << 12
    uint64_t cr4 = kInitialGuestCr4;
    bool has_fsgsbase = false;
    uint64_t xcr0_offered = 0;  // zero: no XSAVE
    SegmentBases bases;
};

enum class FaultVector : uint8_t { kInvalidOpcode = 6, kGeneralProtection = 13, kPageFault = 14 };

// The actions. Those that say "result" want it handed to finish().
struct Refuse {
    FaultVector vector;  // error code zero; kPageFault: deliver the page fault that led here
    const char* reason;
};
struct Proceed {};  // finish() does it all
struct ReadMsr {
    uint32_t index;
};  // result: its value
struct WriteMsr {
    uint32_t index;
    uint64_t value;
};
struct Cpuid {
    uint32_t leaf;
    uint32_t subleaf;
};  // then finish_cpuid()
struct ReadTsc {
    bool with_aux;
};  // then finish_tsc()
struct SetTaskSwitched {
    bool value;
};
struct WriteCr2 {
    uint64_t value;
};
struct WriteCr3 {
    uint64_t value;
};  // as mmuext_op's new_baseptr; #GP when that fails
struct WriteCr4 {
    uint64_t value;
};  // already what CR4 becomes
struct ReadDebug {
    unsigned number;
};  // 0-3, 6, 7. Result: its value
struct WriteDebug {
    unsigned number;
    uint64_t value;
};  // checks as hypercall set_debugreg; #GP when that fails
struct SetXcr0 {
    uint64_t value;
};                      // already checked
struct FlushCaches {};  // nothing, for a domain without device memory
struct Block {};        // as sched_op block, after finish()

// The port accesses. `by_bitmap`: the I/O privilege level doesn't allow it, so the guest's bitmap must (#GP
// otherwise). A port that the domain has no right to reads as all ones and swallows writes.
struct PortAccess {
    uint16_t port;
    uint8_t width;  // bytes
    bool by_bitmap;
};
struct ReadPort {
    PortAccess access;
};  // result: the value
struct WritePort {
    PortAccess access;
    uint32_t value;
};
struct ReadPortToMemory {
    PortAccess access;
    uint64_t address;
};  // one element; address is linear, unchecked
struct WritePortFromMemory {
    PortAccess access;
    uint64_t address;
};  // likewise

// Compare-exchange the page-table entry from the value that was given to `desired`. When another CPU was
// faster, drop all this and let the guest run the instruction again.
struct WriteEntry {
    uint64_t desired;
};

using Action = std::variant<Refuse, Proceed, ReadMsr, WriteMsr, Cpuid, ReadTsc, SetTaskSwitched, WriteCr2,
                            WriteCr3, WriteCr4, ReadDebug, WriteDebug, SetXcr0, FlushCaches, Block, ReadPort,
                            WritePort, ReadPortToMemory, WritePortFromMemory, WriteEntry>;

struct CpuidRegisters {
    uint32_t a = 0, b = 0, c = 0, d = 0;
    friend bool operator==(const CpuidRegisters&, const CpuidRegisters&) = default;
};

class Emulation {
public:
    Emulation(const Instruction& instruction, const GuestRegisters& registers);

    Action action = Proceed{};

    // Makes the instruction's effect on the registers real, and moves on.
    void finish(GuestRegisters& registers) const;
    void finish(GuestRegisters& registers, uint64_t result) const;
    void finish_cpuid(GuestRegisters& registers, const CpuidRegisters& result) const;
    void finish_tsc(GuestRegisters& registers, uint64_t tsc, uint32_t aux) const;

    // The guest single-steps: after finish() it gets a debug exception with DR6.BS.
    [[nodiscard]] bool traps_after() const { return (rflags_ & kFlagTrap) != 0; }

private:
    friend class PrivilegedEmulator;
    friend class StoreEmulator;

    enum class ResultPlace : uint8_t { kNone, kEdxEax, kRegister };

    void set_register(unsigned number, uint64_t value) { writes_[write_count_++] = {number, value}; }

    struct RegisterWrite {
        unsigned number;
        uint64_t value;
    };
    uint64_t rip_;
    uint64_t rflags_;
    RegisterWrite writes_[3]{};
    uint8_t write_count_ = 0;
    ResultPlace place_ = ResultPlace::kNone;
    uint8_t result_register_ = 0;
    uint8_t result_bytes_ = 8;
};

// `before` with its low `bytes` replaced as an instruction of that operand size does: 4 bytes clear the upper
// half.
uint64_t merge_register(uint64_t before, uint64_t value, unsigned bytes);

// Any instruction that isn't a store: it came here by a #GP, or by #UD with the forced-emulation prefix.
Emulation emulate_privileged(const Instruction& instruction, const GuestRegisters& registers,
                             const PrivilegedState& state);

// Where a store takes its source from when that is memory (movs): a linear address, to be read by the caller.
bool reads_memory(const Instruction& instruction);
uint64_t source_address(const Instruction& instruction, const GuestRegisters& registers,
                        const SegmentBases& bases);

// The bases that count for the instruction, as the calling CPU has them.
SegmentBases live_bases_for(const Instruction& instruction);

// A store of a guest kernel that faulted at `fault_address` because a page table is mapped read-only there.
struct FaultedStore {
    uint64_t fault_address = 0;
    uint64_t entry = 0;   // the 8 bytes there now, read once
    uint64_t source = 0;  // what source_address() holds, for movs
};
Emulation emulate_entry_store(const Instruction& instruction, const GuestRegisters& registers,
                              const SegmentBases& bases, const FaultedStore& store);

// Whether the two bytes of a guest's I/O bitmap that hold bit `port` & 7 of byte `port` / 8 allow the access:
// a clear bit allows. (An access of 4 ports spans at most two bytes.)
bool bitmap_allows(uint16_t two_bytes, const PortAccess& access);

}  // namespace torii::pv
