// The registered entries for system calls: syscall, with and without the mask flag; the 32-bit ones.

#include <torii/guest/events.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

asm(R"(
        .pushsection .text
entry_test_call:    syscall
                    ud2
        .popsection
)");
extern "C" const uint8_t entry_test_call[];

namespace {

int64_t register_entry(abi::CallbackType type, uint16_t flags, uint64_t address) {
    abi::CallbackRegister callback{static_cast<uint16_t>(type), flags, 0, address};
    return callback_op(abi::CallbackOp::kRegister, callback);
}

uint8_t g_mask_at_entry;

bool note_mask(TrapContext&) {
    g_mask_at_entry = vcpu_info().evtchn_upcall_mask;
    return false;
}

}  // namespace

GUEST_TEST(syscall_entry_mask,
           "With the mask flag the entry runs with upcalls masked, without it as user mode ran") {
    set_trap_handler(kVectorSyscall, note_mask);
    CHECK_SUCCEEDS(
        register_entry(abi::CallbackType::kSyscall, abi::kCallbackMaskEvents, trap_entry(kVectorSyscall)));
    CHECK(run_in_user_mode(entry_test_call).is(kVectorSyscall));
    CHECK_EQUAL(g_mask_at_entry, 1);
    CHECK_SUCCEEDS(register_entry(abi::CallbackType::kSyscall, 0, trap_entry(kVectorSyscall)));
    CHECK(run_in_user_mode(entry_test_call).is(kVectorSyscall));
    CHECK_EQUAL(g_mask_at_entry, 0);
    mask_upcalls();
    set_trap_handler(kVectorSyscall, nullptr);
}

GUEST_TEST(syscall_entry_refused, "Non-canonical entries are refused and the old ones stay") {
    CHECK_FAILS(register_entry(abi::CallbackType::kSyscall, 0, 0x8000'0000'0000'0000), kEINVAL);
    CHECK(run_in_user_mode(entry_test_call).is(kVectorSyscall));
    mask_upcalls();
    CHECK_FAILS(register_entry(abi::CallbackType::kSyscall32, 0, 0x8000'0000'0000'0000), kEINVAL);
    CHECK_FAILS(register_entry(abi::CallbackType::kSysenter, 0, 0x8000'0000'0000'0000), kEINVAL);
}

GUEST_TEST(syscall_entry_32, "The 32-bit entries can be registered") {
    CHECK_SUCCEEDS(
        register_entry(abi::CallbackType::kSyscall32, abi::kCallbackMaskEvents, trap_entry(kVectorSyscall)));
    CHECK_SUCCEEDS(
        register_entry(abi::CallbackType::kSysenter, abi::kCallbackMaskEvents, trap_entry(kVectorSyscall)));
    CHECK_FAILS(register_entry(abi::CallbackType::kSysenterDeprecated, 0, trap_entry(kVectorSyscall)),
                kENOSYS);
}
