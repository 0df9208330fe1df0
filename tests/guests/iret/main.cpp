// Hypercall iret in its variants.

#include <torii/guest/cpu.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

asm(R"(
        .pushsection .text
iret_target:    ud2
        .popsection
)");
extern "C" const uint8_t iret_target[];

namespace {

Page g_stack[2];

abi::IretContext frame_to(uint64_t cs, uint64_t rflags = 0x202) {
    return {.rax = 0xAA,
            .r11 = 0x11,
            .rcx = 0xCC,
            .flags = 0,
            .rip = virtual_address(iret_target),
            .cs = cs,
            .rflags = rflags,
            .rsp = virtual_address(&g_stack[1]),
            .ss = abi::kFlatRing3Ss64};
}

Caught caught_iret(const abi::IretContext& frame) {
    prepare_user_mode();
    const Caught caught = catch_trap([&] { raw_iret(frame); });
    vcpu_info().evtchn_upcall_mask = 1;
    return caught;
}

}  // namespace

GUEST_TEST(iret_to_kernel, "iret to kernel mode restores every register of its frame") {
    const Caught caught = caught_iret(frame_to(kKernelCs, 0x203));
    CHECK(caught.is(kVectorInvalidOpcode));
    CHECK(!caught.context.from_user_mode());
    CHECK_EQUAL(caught.context.rax, 0xAAu);
    CHECK_EQUAL(caught.context.rcx, 0xCCu);
    CHECK_EQUAL(caught.context.r11, 0x11u);
    CHECK_EQUAL(caught.context.rsp, virtual_address(&g_stack[1]));
    CHECK_EQUAL(caught.context.rflags & 0x201, 0x201u);
}

GUEST_TEST(iret_to_user, "iret to user mode restores every register of its frame") {
    const Caught caught = caught_iret(frame_to(abi::kFlatRing3Cs64));
    CHECK(caught.is(kVectorInvalidOpcode));
    CHECK(caught.context.from_user_mode());
    CHECK_EQUAL(caught.context.rax, 0xAAu);
    CHECK_EQUAL(caught.context.rcx, 0xCCu);
    CHECK_EQUAL(caught.context.r11, 0x11u);
}

GUEST_TEST(iret_fast, "With the in-syscall flag rcx and r11 may be lost, all else arrives") {
    abi::IretContext frame = frame_to(abi::kFlatRing3Cs64);
    frame.flags = abi::kVgcfInSyscall;
    const Caught caught = caught_iret(frame);
    CHECK(caught.is(kVectorInvalidOpcode));
    CHECK(caught.context.from_user_mode());
    CHECK_EQUAL(caught.context.rax, 0xAAu);
    CHECK_EQUAL(caught.context.rip, virtual_address(iret_target));
}

GUEST_TEST(iret_masks, "The frame's IF becomes the event mask") {
    Caught caught = caught_iret(frame_to(kKernelCs, 0x2));
    CHECK_EQUAL(caught.context.cs >> 32 & 0xFF, 1u);
    caught = caught_iret(frame_to(kKernelCs, 0x202));
    CHECK_EQUAL(caught.context.cs >> 32 & 0xFF, 0u);
}

GUEST_TEST(iret_flags_cleaned, "I/O privilege, nested task and virtual mode in the frame are not taken") {
    const Caught caught = caught_iret(frame_to(abi::kFlatRing3Cs64, 0x3'7202));
    CHECK(caught.is(kVectorInvalidOpcode));
    CHECK_EQUAL(caught.context.rflags & 0x2'3000, 0u);
}

GUEST_TEST(iret_bad_code_selector,
           "A code selector that cannot be loaded is a #GP at the target, with the selector's code") {
    const Caught caught = caught_iret(frame_to(0x1233));
    CHECK(caught.is(kVectorGeneralProtection, 0x1230));
    CHECK_EQUAL(caught.context.rip, virtual_address(iret_target));
    CHECK_EQUAL(caught.context.cs & 0xFFFF, 0x1233u);
}

GUEST_TEST(iret_bad_stack_selector,
           "A stack selector that cannot be loaded is a #GP at the target, with the selector's code") {
    abi::IretContext frame = frame_to(abi::kFlatRing3Cs64);
    frame.ss = 0x1243;
    const Caught caught = caught_iret(frame);
    CHECK(caught.is(kVectorGeneralProtection, 0x1240));
    CHECK_EQUAL(caught.context.rip, virtual_address(iret_target));
    CHECK_EQUAL(caught.context.ss, 0x1243u);
}

GUEST_TEST(iret_non_canonical,
           "A non-canonical instruction pointer is the guest's own fault, and it survives") {
    abi::IretContext frame = frame_to(abi::kFlatRing3Cs64);
    frame.rip = 0x8000'0000'0000'0000;
    const Caught caught = caught_iret(frame);
    CHECK(caught.happened);
    CHECK(xen_version<void>(abi::VersionOp::kVersion, nullptr) > 0);
}

GUEST_TEST(iret_hypervisor_selector, "The hypervisor's own selectors are not given away") {
    // Ring 0 code (0xe008 in the reserved part of the GDT): its low bits become 3, which the CPU refuses, or
    // it is taken as flat.
    const Caught caught = caught_iret(frame_to(0xE008 | 3));
    CHECK(caught.happened);
    if (caught.is(kVectorInvalidOpcode)) CHECK_EQUAL(caught.context.cs & 3, 3u);
    CHECK(xen_version<void>(abi::VersionOp::kVersion, nullptr) > 0);
}
