#include "kit/call_domain.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "arch/x86/pv/page_type.h"
#include "core/call/handlers.h"
#include "core/domain/grants.h"
#include "core/memory/reservation.h"
#include "fakes/fake_platform.h"

namespace torii::test {
namespace {

constexpr uint64_t kTableFlags = pv::kPtePresent | pv::kPteWrite | pv::kPteUser;

uint64_t* entries_of(Mfn table) {
    return fakes::machine().guest_view<uint64_t>(table);
}

}  // namespace

CallDomain::CallDomain(uint16_t id, bool privileged, const DomainLimits& limits, uint32_t frames) : id_(id) {
    (void)fakes::machine();
    fakes::start_platform();
    Result<Domain*> created = create_domain(id_, limits, privileged);
    EXPECT_TRUE(created.ok());
    domain_ = created.take();
    domain_->frame_limit = frames + 100;
    EXPECT_TRUE(create_vcpu(*domain_, VcpuId(0)).ok());
    for (uint32_t i = 0; i < frames; ++i)
        frames_.push_back(allocate_domain_frames(*domain_, 0).take());
    for (unsigned level = 1; level <= 4; ++level)
        tables_.push_back(allocate_domain_frames(*domain_, 0).take());
    for (unsigned level = 2; level <= 4; ++level) {
        const unsigned slot = (kVirtualBase >> (kPageShift + 9 * (level - 1))) & 511;
        entries_of(tables_[level - 1])[slot] = address_of(tables_[level - 2]).raw() | kTableFlags;
    }
    {
        Budget budget(1000);
        const LockGuard guard(domain_->page_table_lock);
        EXPECT_TRUE(pv::pin_table(*domain_, tables_[3], 4, budget).ok());
        EXPECT_TRUE(pv::get_table(*domain_, tables_[3], 4, budget).ok());
    }
    vcpu().pv.kernel_root = tables_[3];
    domain_->dirty_cpus.add(CpuId(0));
    domain_->life = Life::kAlive;
    EXPECT_TRUE(grow_grant_table(*domain_, 1).ok());
}

CallDomain::CallDomain(Domain& built, std::vector<Mfn> tables, VcpuId vcpu)
    : id_(built.id), vcpu_(vcpu), domain_(&built), tables_(std::move(tables)) {
    refresh_frames();
}

CallDomain::~CallDomain() {
    destroy();
}

void CallDomain::destroy() {
    if (domain_ == nullptr) return;
    // It may be gone at the end, unless a reference keeps it in view.
    Result<> result = Errno::kERESTART;
    for (unsigned step = 0; step < 10'000 && result.error() == Errno::kERESTART; ++step)
        result = destroy_domain(*domain_);
    EXPECT_TRUE(result.ok());
    domain_ = nullptr;
}

void CallDomain::refresh_frames() {
    frames_.clear();
    if (domain_ != nullptr) return list_frames(*domain_);
    if (const DomainRef found(find_domain(id_)); found) list_frames(*found);
}

void CallDomain::list_frames(Domain& domain) {
    const LockGuard guard(domain.page_list_lock);
    for (uint32_t at = domain.first_frame; at != 0; at = frame_at(Mfn(at)).next) {
        const uint64_t count = frame_at(Mfn(at)).count.load();
        if ((count & CountWord::kAllocated) == 0 || (count & kSharedByHypervisor) != 0) continue;
        if (std::find(tables_.begin(), tables_.end(), Mfn(at)) == tables_.end()) frames_.push_back(Mfn(at));
    }
}

void CallDomain::fill(uint32_t index, unsigned char value) const {
    memset(fakes::machine().guest_view(mfn(index)), value, kPageSize);
}

pv::Pte CallDomain::pte(unsigned page) const {
    return pv::Pte{entries_of(l1())[pv::l1_slot(va(page))]};
}
uint64_t CallDomain::pte_address(unsigned page) const {
    return address_of(l1()).raw() + pv::l1_slot(va(page)) * sizeof(uint64_t);
}
Result<> CallDomain::write_pte(unsigned page, pv::Pte entry) const {
    Budget budget(1000);
    const LockGuard guard(domain_->page_table_lock);
    return pv::write_entry(*domain_, *domain_, l1(), pv::l1_slot(va(page)), entry, false, budget);
}

abi::GrantEntryV1& CallDomain::entry(uint32_t ref) const {
    const Mfn page = domain_->grants.frame(ref / kGrantEntriesPerFrame);
    return fakes::machine().guest_view<abi::GrantEntryV1>(page)[ref % kGrantEntriesPerFrame];
}
void CallDomain::grant(uint32_t ref, DomId to, Mfn frame, uint16_t flags) const {
    // In one step: the hypervisor may look at the entry meanwhile.
    const Mfn page = domain_->grants.frame(ref / kGrantEntriesPerFrame);
    write_once(fakes::machine().guest_view<SharedGrantEntry>(page)[ref % kGrantEntriesPerFrame],
               {flags | uint32_t{to.raw()} << 16, static_cast<uint32_t>(frame.raw())});
}

int64_t CallDomain::call(abi::GrantTableOp operation, const void* array, uint64_t count) {
    pv::GuestRegisters registers{};
    registers.rdi = static_cast<uint64_t>(operation);
    registers.rsi = reinterpret_cast<uint64_t>(array);
    registers.rdx = count;
    fakes::Machine::set_current(&vcpu());
    for (;;) {
        CallContext context(vcpu(), registers);
        CallResult result = call::grant_table_op(context);
        EXPECT_EQ(fakes::Machine::open_windows(), 0u);
        if (result.error() == Errno::kERESTART) {
            ++restarts;
            continue;
        }
        fakes::Machine::set_current(nullptr);
        return result.ok() ? result.value() : abi::negated(result.error());
    }
}

abi::GrantMap CallDomain::map(DomId granter, uint32_t ref, uint64_t host_addr, uint32_t flags) {
    abi::GrantMap element{host_addr, flags, ref, granter.raw(), 1, 0, 0};
    EXPECT_EQ(call(abi::GrantTableOp::kMapGrantRef, element), 0);
    return element;
}
int16_t CallDomain::unmap(uint32_t handle, uint64_t host_addr, uint64_t dev_bus_addr) {
    abi::GrantUnmap element{host_addr, dev_bus_addr, handle, 1, 0};
    EXPECT_EQ(call(abi::GrantTableOp::kUnmapGrantRef, element), 0);
    return element.status;
}

}  // namespace torii::test
