#include "kit/hosted_domain.h"

#include <gtest/gtest.h>
#include <torii/abi/multicall.h>

#include <algorithm>
#include <cstring>

#include "arch/x86/pv/page_type.h"
#include "base/once.h"
#include "core/call/counters.h"
#include "core/call/dispatch.h"
#include "fakes/fake_cpus.h"
#include "fakes/fake_tlb.h"
#include "port/machine.h"

namespace torii::test {
namespace {

constexpr uint64_t kRipAfterSyscall = 0x401002;

// Something to be found missing or changed in the hypervisor's part of each L4.
[[maybe_unused]] const bool slots_filled = [] {
    for (uint64_t i = 0; i < 16; ++i)
        pv::hypervisor_slots[i] = ((i + 1) << kPageShift) | pv::kPtePresent | pv::kPteWrite;
    return true;
}();

void start_counting(unsigned cpu) {}

}  // namespace

HostedDomain::HostedDomain(uint16_t id, unsigned cpu, bool privileged, uint32_t frames,
                           const DomainLimits& limits)
    : CallDomain(id, privileged, limits, frames), cpu_(cpu) {
    start_counting(cpu);
    domain().dirty_cpus.clear();
    domain().dirty_cpus.add(CpuId(cpu));
    vcpu().entry.kernel_cr3 = address_of(vcpu().pv.kernel_root).raw();
    for (uint32_t i = 0; i < frames; ++i)
        clear(mfn(i));
}

HostedDomain::HostedDomain(Domain& built, unsigned cpu, std::vector<Mfn> tables)
    : CallDomain(built, std::move(tables)), cpu_(cpu) {
    start_counting(cpu);
    domain().dirty_cpus.clear();
    domain().dirty_cpus.add(CpuId(cpu));
}

HostedDomain::HostedDomain(Vcpu& running, std::vector<Mfn> tables)
    : CallDomain(*running.domain, std::move(tables), running.id) {}

bool HostedDomain::write(Mfn mfn, unsigned slot, uint64_t value) const {
    const FrameRef frame = FrameRef::take(mfn, id());
    if (!frame || !get_writable(*frame)) return false;
    write_once(entries(mfn)[slot], value);
    put_writable(*frame);
    return true;
}

void HostedDomain::touch(uint64_t va) const {
    const bool runs = current_vcpu() == &vcpu();
    (void)fakes::tlb().touch(runs ? this_cpu() : cpu_, id(), vcpu().pv.kernel_root, va);
}

void HostedDomain::clear(Mfn mfn) const {
    memset(entries(mfn), 0, kPageSize);
}

int64_t HostedDomain::hypercall(abi::Hypercall number, std::initializer_list<uint64_t> arguments,
                                unsigned most) {
    if (batch_next) {
        batch_next = false;
        return hypercall_in_batch(number, arguments, most);
    }
    pv::GuestRegisters& r = *vcpu().pv.registers;
    uint64_t* const places[] = {&r.rdi, &r.rsi, &r.rdx, &r.r10, &r.r8, &r.r9};
    size_t used = 0;
    for (const uint64_t argument : arguments)
        *places[used++] = argument;
    const bool runs = current_vcpu() == &vcpu();
    if (!runs) fakes::Machine::set_current(&vcpu(), cpu_);
    continuations = 0;
    for (;;) {
        r.rax = static_cast<uint64_t>(number);
        r.rip = kRipAfterSyscall;
        dispatch(vcpu(), r);
        EXPECT_EQ(fakes::Machine::open_windows(), 0u);
        fakes::way_out(vcpu());
        unfinished = r.rip == kRipAfterSyscall - kSyscallBytes;
        if (!unfinished || ++continuations == most) break;
    }
    if (!runs) fakes::Machine::set_current(nullptr);
    return static_cast<int64_t>(r.rax);
}

int64_t HostedDomain::hypercall_in_batch(abi::Hypercall number, std::initializer_list<uint64_t> arguments,
                                         unsigned most) {
    const auto version = static_cast<uint64_t>(abi::Hypercall::kXenVersion);
    abi::MulticallEntry entries[3] = {
        {version, 0, {}}, {static_cast<uint64_t>(number), 0, {}}, {version, 0, {}}};
    std::copy(arguments.begin(), arguments.end(), entries[1].args);
    const int64_t result =
        hypercall(abi::Hypercall::kMulticall, {reinterpret_cast<uint64_t>(entries), 3}, most);
    if (unfinished) return result;
    EXPECT_EQ(result, 0);
    EXPECT_EQ(entries[0].result, entries[2].result);
    return static_cast<int64_t>(entries[1].result);
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
    for (unsigned above = 4; above > level; --above) {
        const unsigned slot = (kVirtualBase >> (kPageShift + 9 * (above - 1))) & 511;
        const pv::Pte entry{read_once(entries(at)[slot])};
        // Others may change the way there, or lead it elsewhere: then it is no table of ours.
        if (!entry.present() || !frame_exists(entry.mfn())) return CallDomain::table(level);
        at = entry.mfn();
    }
    return at;
}

}  // namespace torii::test
