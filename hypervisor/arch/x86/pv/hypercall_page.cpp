#include "arch/x86/pv/hypercall_page.h"

#include <torii/abi/hypercall_numbers.h>

#include "base/once.h"

namespace torii::pv {
namespace {

constexpr uint8_t kPushRcx = 0x51;
constexpr uint8_t kPushRax = 0x50;
constexpr uint8_t kMovEaxImmediate = 0xb8;
constexpr uint8_t kPopRcx = 0x59;
constexpr uint8_t kReturn = 0xc3;
constexpr uint8_t kBreakpoint = 0xcc;
constexpr uint8_t kTwoByteOpcode = 0x0f;
constexpr uint8_t kSyscallOpcode = 0x05;
constexpr uint8_t kPrefixB = 0x41;  // r11 rather than rbx
constexpr uint8_t kPushRbx = 0x53;
constexpr uint8_t kPopRbx = 0x5b;

// The page is a guest's, which may write to it meanwhile.
class Stub {
public:
    explicit Stub(std::span<uint8_t> slot) : slot_(slot) {
        for (uint8_t& place : slot)
            write_once(place, kBreakpoint);
    }

    Stub& put(std::initializer_list<uint8_t> bytes) {
        for (const uint8_t byte : bytes)
            write_once(slot_[used_++], byte);
        return *this;
    }
    Stub& load_number(uint32_t number) {
        return put({kMovEaxImmediate, static_cast<uint8_t>(number), static_cast<uint8_t>(number >> 8), 0, 0});
    }

private:
    std::span<uint8_t> slot_;
    size_t used_ = 0;
};

}  // namespace

void fill_hypercall_page(std::span<uint8_t, kPageSize> page) {
    constexpr uint32_t kBytes = abi::kHypercallPageSlotBytes;
    for (uint32_t number = 0; number < kPageSize / kBytes; ++number) {
        Stub stub(page.subspan(number * kBytes, kBytes));
        // `syscall` overwrites rcx and r11, which a call through the page keeps.
        stub.put({kPushRcx, kPrefixB, kPushRbx});
        if (number == static_cast<uint32_t>(abi::Hypercall::kIret)) {
            // Doesn't come back: what it pushes is the beginning of the iret frame.
            stub.put({kPushRax}).load_number(number).put({kTwoByteOpcode, kSyscallOpcode});
            continue;
        }
        stub.load_number(number).put({kTwoByteOpcode, kSyscallOpcode, kPrefixB, kPopRbx, kPopRcx, kReturn});
    }
}

}  // namespace torii::pv
