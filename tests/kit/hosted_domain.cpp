#include "kit/hosted_domain.h"

#include <gtest/gtest.h>

#include <cstring>

#include "arch/x86/pv/page_type.h"
#include "core/call/counters.h"
#include "core/call/dispatch.h"

namespace torii::test {
namespace {

constexpr uint64_t kRipAfterSyscall = 0x401002;

// Something to be found missing or changed in the hypervisor's part of each L4.
[[maybe_unused]] const bool slots_filled = [] {
    for (uint64_t i = 0; i < 16; ++i)
        pv::hypervisor_slots[i] = ((i + 1) << kPageShift) | pv::kPtePresent | pv::kPteWrite;
    return true;
}();

}  // namespace

HostedDomain::HostedDomain(uint16_t id, unsigned cpu, bool privileged, uint32_t frames)
    : CallDomain(id, privileged, {1, 64, 4, 4}, frames), cpu_(cpu) {
    if (cpu_counters[cpu] == nullptr) cpu_counters[cpu] = new CpuCounters{};
    domain().dirty_cpus = uint64_t{1} << cpu;
    vcpu().entry.kernel_cr3 = address_of(vcpu().pv.kernel_root).raw();
    for (uint32_t i = 0; i < frames; ++i)
        clear(mfn(i));
}

void HostedDomain::clear(Mfn mfn) const {
    memset(entries(mfn), 0, kPageSize);
}

int64_t HostedDomain::hypercall(abi::Hypercall number, std::initializer_list<uint64_t> arguments,
                                unsigned most) {
    pv::GuestRegisters& r = *vcpu().pv.registers;
    uint64_t* const places[] = {&r.rdi, &r.rsi, &r.rdx, &r.r10, &r.r8, &r.r9};
    size_t used = 0;
    for (const uint64_t argument : arguments)
        *places[used++] = argument;
    fakes::Machine::set_current(&vcpu(), cpu_);
    continuations = 0;
    for (;;) {
        r.rax = static_cast<uint64_t>(number);
        r.rip = kRipAfterSyscall;
        dispatch(vcpu(), r);
        vcpu().entry.exit_work = 0;
        EXPECT_EQ(fakes::Machine::open_windows(), 0u);
        if (r.rip == kRipAfterSyscall || ++continuations == most) break;
    }
    fakes::Machine::set_current(nullptr);
    return static_cast<int64_t>(r.rax);
}

int64_t HostedDomain::mmuext(abi::MmuextOpCommand command, uint64_t mfn, uint64_t second, uint16_t about) {
    abi::MmuextOp operation{};
    operation.cmd = static_cast<uint32_t>(command);
    operation.arg1.mfn = mfn;
    operation.arg2.src_mfn = second;
    return hypercall(abi::Hypercall::kMmuextOp, {reinterpret_cast<uint64_t>(&operation), 1, 0, about});
}

int64_t HostedDomain::update(uint64_t place, uint64_t value, uint32_t domains) {
    return update({{place, value}}, domains);
}
int64_t HostedDomain::update(std::initializer_list<abi::MmuUpdate> requests, uint32_t domains) {
    return hypercall(abi::Hypercall::kMmuUpdate,
                     {reinterpret_cast<uint64_t>(requests.begin()), requests.size(), 0, domains});
}

Mfn HostedDomain::table(unsigned level) const {
    Mfn at = vcpu().pv.kernel_root;
    for (unsigned above = 4; above > level; --above)
        at = pv::Pte{entries(at)[(kVirtualBase >> (kPageShift + 9 * (above - 1))) & 511]}.mfn();
    return at;
}

}  // namespace torii::test
