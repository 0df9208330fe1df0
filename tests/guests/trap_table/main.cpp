// set_trap_table and callback registration.

#include <torii/guest/events.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

bool breakpoint_works() {
    return catch_trap([] { asm volatile("int3"); }).is(kVectorBreakpoint);
}

}  // namespace

GUEST_TEST(trap_table_replace, "An entry replaces the one before and leaves the others") {
    // Vector 4's entry point for vector 3: the stub tells which it is.
    const abi::TrapInfo table[] = {
        {static_cast<uint8_t>(kVectorBreakpoint), 3, abi::kFlatRing3Cs64, 0, trap_entry(kVectorOverflow)},
        {}};
    CHECK_SUCCEEDS(set_trap_table(table));
    CHECK(catch_trap([] { asm volatile("int3"); }).is(kVectorOverflow));
    CHECK(catch_trap([] { asm volatile("ud2"); }).is(kVectorInvalidOpcode));
    register_traps();
    CHECK(breakpoint_works());
}

GUEST_TEST(trap_table_refused, "A non-canonical address is refused") {
    const abi::TrapInfo table[] = {
        {static_cast<uint8_t>(kVectorBreakpoint), 3, abi::kFlatRing3Cs64, 0, 0x8000'0000'0000'0000}, {}};
    CHECK_FAILS(set_trap_table(table), kEINVAL);
    CHECK(breakpoint_works());
}

GUEST_TEST(trap_table_unreadable, "A table that cannot be read is refused") {
    CHECK_FAILS(hypercall(abi::Hypercall::kSetTrapTable, kNeverMapped), kEFAULT);
    CHECK(breakpoint_works());
}

GUEST_TEST(trap_table_clear, "A null table clears all entries, and can be filled again") {
    CHECK_SUCCEEDS(set_trap_table(nullptr));
    register_traps();
    CHECK(breakpoint_works());
}

GUEST_TEST(callbacks_refused, "Callbacks at non-canonical addresses and of unknown types are refused") {
    abi::CallbackRegister callback{static_cast<uint16_t>(abi::CallbackType::kEvent), 0, 0,
                                   0x8000'0000'0000'0000};
    CHECK_FAILS(callback_op(abi::CallbackOp::kRegister, callback), kEINVAL);
    callback.type = static_cast<uint16_t>(abi::CallbackType::kFailsafe);
    CHECK_FAILS(callback_op(abi::CallbackOp::kRegister, callback), kEINVAL);
    callback.type = 99;
    callback.address = trap_entry(kVectorEvent);
    CHECK_FAILS(callback_op(abi::CallbackOp::kRegister, callback), kENOSYS);
    CHECK_FAILS(hypercall(abi::Hypercall::kCallbackOp, 2, &callback), kENOSYS);
    // The old call reports nothing; what matters is that the callback in force stays.
    const int64_t result = hypercall(abi::Hypercall::kSetCallbacks, 0x8000'0000'0000'0000,
                                     trap_entry(kVectorFailsafe), trap_entry(kVectorSyscall));
    CHECK(result == 0 || result == abi::negated(abi::Errno::kEINVAL));
    const auto port = static_cast<RawPort>(bind_ipi());
    static volatile bool seen;
    seen = false;
    handle_event(port, [](RawPort, void*) { seen = true; });
    unmask_upcalls();
    CHECK_SUCCEEDS(send_event(port));
    mask_upcalls();
    CHECK(seen);
    CHECK_SUCCEEDS(close_port(port));
}

GUEST_TEST(callbacks_unregister, "The event callback cannot be taken back; the NMI one can") {
    abi::CallbackUnregister unregister{static_cast<uint16_t>(abi::CallbackType::kEvent), 0};
    CHECK_FAILS(callback_op(abi::CallbackOp::kUnregister, unregister), kEINVAL);
    abi::CallbackRegister nmi{static_cast<uint16_t>(abi::CallbackType::kNmi), 0, 0, trap_entry(kVectorNmi)};
    CHECK_SUCCEEDS(callback_op(abi::CallbackOp::kRegister, nmi));
    unregister.type = static_cast<uint16_t>(abi::CallbackType::kNmi);
    CHECK_SUCCEEDS(callback_op(abi::CallbackOp::kUnregister, unregister));
    register_traps();
}

GUEST_TEST(nmi_to_self, "A registered NMI handler is entered by vcpu_op's send_nmi") {
    static volatile bool seen;
    seen = false;
    set_trap_handler(kVectorNmi, [](TrapContext&) { return seen = true, true; });
    abi::CallbackRegister nmi{static_cast<uint16_t>(abi::CallbackType::kNmi), 0, 0, trap_entry(kVectorNmi)};
    CHECK_SUCCEEDS(callback_op(abi::CallbackOp::kRegister, nmi));
    CHECK_SUCCEEDS(vcpu_op(abi::VcpuOp::kSendNmi, 0));
    CHECK(seen);
    abi::CallbackUnregister unregister{static_cast<uint16_t>(abi::CallbackType::kNmi), 0};
    CHECK_SUCCEEDS(callback_op(abi::CallbackOp::kUnregister, unregister));
    set_trap_handler(kVectorNmi, nullptr);
}
