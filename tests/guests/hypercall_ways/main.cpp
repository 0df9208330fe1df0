// The two ways of calling, and numbers that name no call.

#include <torii/guest/hypercall.h>
#include <torii/guest/report.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

GUEST_TEST(hypercall_page, "Calls through the hypercall page do what calls by syscall do") {
    const int64_t direct = xen_version<void>(abi::VersionOp::kVersion, nullptr);
    hypercall_way = HypercallWay::kPage;
    const int64_t by_page = xen_version<void>(abi::VersionOp::kVersion, nullptr);
    abi::FeatureInfo features{};
    const int64_t written = xen_version(abi::VersionOp::kGetFeatures, &features);
    hypercall_way = HypercallWay::kSyscall;
    CHECK_EQUAL(by_page, direct);
    CHECK_SUCCEEDS(written);
    CHECK(features.submap != 0);
}

GUEST_TEST(hypercall_unknown, "Unassigned numbers are refused with ENOSYS, whatever their size") {
    for (const uint64_t number : {uint64_t{11}, uint64_t{43}, uint64_t{56}, uint64_t{63}, uint64_t{64},
                                  uint64_t{1000}, uint64_t{0xFFFF'FFFF}, ~uint64_t{0}}) {
        CHECK_FAILS(raw_hypercall(number), kENOSYS);
    }
}

GUEST_TEST(hypercall_number_width, "The number is all of rax: high bits are not cut off") {
    const auto version = static_cast<uint64_t>(abi::Hypercall::kXenVersion);
    const int64_t result = raw_hypercall(uint64_t{1} << 32 | version, 0);
    // Either the whole register counts (ENOSYS) or its low half (the version): never a crash, never another
    // call.
    CHECK(result == abi::negated(abi::Errno::kENOSYS) || result == raw_hypercall(version, 0));
}

GUEST_TEST(hypercall_registers, "A call keeps every register but rax, rcx and r11") {
    // The callee-saved ones and r9, which carries no argument; the others are clobbered by arguments anyway.
    uint64_t seen[6] = {};
    int64_t result = 0;
    asm volatile(
        "mov $0x1111, %%ebx; mov $0x2222, %%r12d; mov $0x3333, %%r13d; mov $0x4444, %%r14d; mov $0x5555, "
        "%%r15d\n\t"
        "mov $0x9999, %%r9d; mov %[number], %%eax; xor %%edi, %%edi; syscall\n\t"
        "mov %%rbx, (%[seen]); mov %%r12, 8(%[seen]); mov %%r13, 16(%[seen]); mov %%r14, 24(%[seen])\n\t"
        "mov %%r15, 32(%[seen]); mov %%r9, 40(%[seen])"
        : "=&a"(result)
        : [seen] "r"(register_value(&seen[0])), [number] "i"(
                                                    static_cast<uint32_t>(abi::Hypercall::kXenVersion))
        : "rbx", "rcx", "rdi", "r9", "r11", "r12", "r13", "r14", "r15", "memory");
    CHECK(result > 0);
    CHECK_EQUAL(seen[0], 0x1111u);
    CHECK_EQUAL(seen[1], 0x2222u);
    CHECK_EQUAL(seen[2], 0x3333u);
    CHECK_EQUAL(seen[3], 0x4444u);
    CHECK_EQUAL(seen[4], 0x5555u);
    CHECK_EQUAL(seen[5], 0x9999u);
}
