// increase_reservation, decrease_reservation and populate_physmap (public memory.h): the domain's memory
// grows and shrinks by extents. All three answer how many extents were done, also when the first one failed.
#include "core/call/memory_ops.h"
#include "core/call/target.h"
#include "core/domain/privilege.h"
#include "core/memory/m2p.h"
#include "core/memory/reservation.h"

namespace torii::call {
namespace {

class ReservationChange {
public:
    ReservationChange(const MemoryCall& call, Domain& domain, const abi::MemoryReservation& request)
        : call_(call), domain_(domain), request_(request), extents_(request.extent_start) {}

    CallResult run() {
        const Result<AllocationWish> wish = wish_of(request_.mem_flags);
        if (!wish.ok()) return static_cast<int64_t>(call_.start);
        wish_ = Result<AllocationWish>(wish).take();
        Budget budget(kMemoryBudget);
        uint64_t done = call_.start;
        for (; done < request_.nr_extents; ++done) {
            if (done != call_.start && !budget.spend(cost_of_block(request_.extent_order)))
                return call_.continue_at(done);
            if (!change_extent(done).ok()) break;
        }
        return static_cast<int64_t>(done);
    }

private:
    Result<> change_extent(uint64_t index) {
        switch (call_.op) {
            case abi::MemoryOp::kIncreaseReservation:
                return increase(index);
            case abi::MemoryOp::kDecreaseReservation:
                return decrease(index);
            default:
                return populate(index);
        }
    }

    // New frames that have no place in the guest's own numbering yet.
    Result<> increase(uint64_t index) {
        const Mfn first = TRY(allocate_domain_frames(domain_, request_.extent_order, wish_));
        if (extents_.is_null()) return {};
        return extents_.write(index, first.raw());
    }

    // New frames for the guest's frame numbers from the extent's on.
    Result<> populate(uint64_t index) {
        if ((request_.mem_flags & abi::kMemFlagPopulateOnDemand) != 0) return Errno::kEINVAL;
        uint64_t pfn = 0;
        TRY(extents_.read(index, pfn));
        const Mfn first = TRY(allocate_domain_frames(domain_, request_.extent_order, wish_));
        for (uint64_t i = 0; i < block_size(); ++i)
            m2p_set(first + i, Pfn(pfn) + i);
        return extents_.write(index, first.raw());
    }

    Result<> decrease(uint64_t index) {
        uint64_t mfn = 0;
        TRY(extents_.read(index, mfn));
        for (uint64_t i = 0; i < block_size(); ++i)
            TRY(give_up_frame(domain_, Mfn(mfn) + i));
        return {};
    }

    [[nodiscard]] uint64_t block_size() const { return uint64_t{1} << request_.extent_order; }

    const MemoryCall& call_;
    Domain& domain_;
    const abi::MemoryReservation& request_;
    GuestArray<uint64_t> extents_;
    AllocationWish wish_;
};

}  // namespace

CallResult change_reservation(const MemoryCall& call) {
    const auto nothing_done = static_cast<int64_t>(call.start);
    abi::MemoryReservation request;
    if (!GuestIn<abi::MemoryReservation>(call.address).copy_in(request).ok()) return nothing_done;
    if (request.nr_extents > (~uint64_t{0} >> kMemoryOpBits) || call.start >= request.nr_extents)
        return nothing_done;
    const Domain& caller = call.context.domain();
    if (request.extent_order > largest_order(caller)) return nothing_done;
    const Result<Domain*> target = find_target(caller, request.domid);
    if (!target.ok()) return nothing_done;
    const DomainRef domain(Result<Domain*>(target).take());
    if (!may_change_memory_of(caller, *domain)) return nothing_done;
    return ReservationChange(call, *domain, request).run();
}

}  // namespace torii::call
