#include "unit/core/call/call_world.h"

#include "core/call/dispatch.h"
#include "core/memory/allocator.h"
#include "core/memory/heap.h"
#include "core/memory/reservation.h"
#include "fakes/fake_machine.h"
#include "fakes/fake_platform.h"

namespace torii::test {
namespace {

constexpr uint64_t kRipAfterSyscall = 0x401002;

Domain* make_domain(uint16_t id, bool privileged) {
    Result<Domain*> domain = create_domain(DomId(id), DomainLimits{}, privileged);
    EXPECT_TRUE(domain.ok());
    EXPECT_TRUE(create_vcpu(*domain.value(), VcpuId(0)).ok());
    domain.value()->frame_limit = 4096;
    return domain.value();
}

}  // namespace

void destroy(Domain& domain) {
    while (destroy_domain(domain).error() == Errno::kERESTART) {
    }
}

void CallWorld::SetUp() {
    (void)fakes::machine();
    fakes::start_platform();
    free_before_ = free_frame_count() + heap_frames_in_use();
    control_ = make_domain(0, true);
    guest_ = make_domain(1, false);
}

void CallWorld::TearDown() {
    fakes::Machine::set_current(nullptr);
    destroy(*guest_);
    destroy(*control_);
    EXPECT_EQ(free_frame_count() + heap_frames_in_use(), free_before_);
    EXPECT_EQ(fakes::Machine::open_windows(), 0u);
}

int64_t CallWorld::call_once(Domain& from, uint64_t rax, bool& continued) {
    fakes::Machine::set_current(&vcpu(from));
    registers(from).rax = rax;
    registers(from).rip = kRipAfterSyscall;
    dispatch(vcpu(from), registers(from));
    continued = registers(from).rip != kRipAfterSyscall;
    if (continued) {
        EXPECT_EQ(registers(from).rip, kRipAfterSyscall - kSyscallBytes);
        EXPECT_EQ(registers(from).rax, rax);
    }
    return static_cast<int64_t>(registers(from).rax);
}

int64_t CallWorld::call(Domain& from, abi::Hypercall number, std::initializer_list<uint64_t> arguments) {
    pv::GuestRegisters& r = registers(from);
    uint64_t* const places[] = {&r.rdi, &r.rsi, &r.rdx, &r.r10, &r.r8, &r.r9};
    size_t used = 0;
    for (const uint64_t argument : arguments)
        *places[used++] = argument;
    continuations = 0;
    for (;;) {
        bool continued = false;
        const int64_t result = call_once(from, static_cast<uint64_t>(number), continued);
        if (!continued) return result;
        vcpu(from).entry.exit_work = 0;  // served on the way out
        ++continuations;
        if (continuations > 100000) {
            ADD_FAILURE() << "the call makes no progress";
            return result;
        }
    }
}

std::vector<uint64_t> CallWorld::give_frames(Domain& domain, unsigned count) {
    std::vector<uint64_t> frames;
    for (unsigned i = 0; i < count; ++i) {
        Result<Mfn> mfn = allocate_domain_frames(domain, 0);
        EXPECT_TRUE(mfn.ok());
        frames.push_back(mfn.value().raw());
    }
    return frames;
}

}  // namespace torii::test
