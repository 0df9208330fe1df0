// exchange (public memory.h): frames for other frames that lie where a device can reach them, or side by
// side.
//
// Works in chunks: the smallest number of input extents that makes a whole number of output extents. A chunk
// is exchanged wholly or not at all, and `nr_exchanged` counts the input extents of finished chunks.
#include <cstddef>

#include "core/call/memory_ops.h"
#include "core/call/target.h"
#include "core/domain/privilege.h"
#include "core/memory/m2p.h"
#include "core/memory/reservation.h"

namespace torii::call {
namespace {

// Frames that are nobody's for the moment, chained through their own links.
class FrameChain {
public:
    void push(Mfn mfn) {
        frame_at(mfn).next = first_;
        first_ = static_cast<uint32_t>(mfn.raw());
    }
    [[nodiscard]] bool empty() const { return first_ == 0; }
    Mfn pop() {
        const Mfn mfn(first_);
        first_ = frame_at(mfn).next;
        frame_at(mfn).next = 0;
        return mfn;
    }

private:
    uint32_t first_ = 0;
};

class Exchange {
public:
    Exchange(const MemoryCall& call, Domain& domain, const abi::MemoryExchange& request, AllocationWish wish)
        : call_(call),
          domain_(domain),
          in_(request.in.extent_start),
          out_(request.out.extent_start),
          wish_(wish),
          in_order_(request.in.extent_order),
          out_order_(request.out.extent_order),
          in_count_(request.in.nr_extents),
          exchanged_(request.nr_exchanged) {
        if (in_order_ < out_order_) in_chunk_ = uint64_t{1} << (out_order_ - in_order_);
        if (out_order_ < in_order_) out_chunk_ = uint64_t{1} << (in_order_ - out_order_);
    }

    CallResult run() {
        const uint32_t cost = 2 * cost_of_block(in_order_ > out_order_ ? in_order_ : out_order_);
        Budget budget(kMemoryBudget);
        bool first = true;
        for (uint64_t chunk = exchanged_ / in_chunk_; chunk < in_count_ / in_chunk_; ++chunk) {
            if (!first && !budget.spend(cost)) {
                TRY(report_progress());
                return Errno::kERESTART;
            }
            first = false;
            const Result<> done = exchange_chunk(chunk);
            if (!done.ok()) {
                TRY(report_progress());
                return done.error();
            }
        }
        TRY(report_progress());
        return 0;
    }

private:
    Result<> exchange_chunk(uint64_t chunk) {
        FrameChain given;
        FrameChain stolen;
        Result<> ready = allocate_output(given);
        if (ready.ok()) ready = steal_input(chunk, stolen);
        if (!ready.ok()) {
            while (!given.empty())
                free_frames(given.pop(), out_order_, false);
            while (!stolen.empty())
                give_back(stolen.pop());
            return ready;
        }
        while (!stolen.empty())
            free_stolen_frame(stolen.pop());
        exchanged_ = (chunk + 1) * in_chunk_;
        // The frames change hands in any case now: what can't be read or written any more is the guest's
        // loss.
        Result<> answered{};
        for (uint64_t i = 0; i < out_chunk_; ++i) {
            const Result<> one = hand_over(chunk * out_chunk_ + i, given.pop());
            if (!one.ok()) answered = one;
        }
        return answered;
    }

    Result<> allocate_output(FrameChain& given) {
        for (uint64_t i = 0; i < out_chunk_; ++i)
            given.push(TRY(allocate_frames(out_order_, wish_)));
        return {};
    }

    Result<> steal_input(uint64_t chunk, FrameChain& stolen) {
        for (uint64_t i = 0; i < in_chunk_; ++i) {
            uint64_t mfn = 0;
            TRY(in_.read(chunk * in_chunk_ + i, mfn));
            for (uint64_t j = 0; j < (uint64_t{1} << in_order_); ++j) {
                TRY(steal_frame(domain_, Mfn(mfn) + j));
                stolen.push(Mfn(mfn) + j);
            }
        }
        return {};
    }

    void give_back(Mfn mfn) {
        if (!assign_frame(domain_, mfn, false).ok()) free_stolen_frame(mfn);  // the domain is dying
    }

    Result<> hand_over(uint64_t index, Mfn first) {
        uint64_t pfn = 0;
        const Result<> place = out_.read(index, pfn);
        for (uint64_t i = 0; i < (uint64_t{1} << out_order_); ++i) {
            if (!assign_frame(domain_, first + i, false).ok()) {
                free_frames(first + i, 0, false);  // the domain is dying
            } else if (place.ok()) {
                m2p_set(first + i, Pfn(pfn) + i);
            }
        }
        TRY(place);
        return out_.write(index, first.raw());
    }

    Result<> report_progress() {
        const GuestOut<uint64_t> place(call_.address + offsetof(abi::MemoryExchange, nr_exchanged));
        return place.copy_out(exchanged_);
    }

    const MemoryCall& call_;
    Domain& domain_;
    GuestArray<uint64_t> in_;
    GuestArray<uint64_t> out_;
    AllocationWish wish_;
    unsigned in_order_;
    unsigned out_order_;
    uint64_t in_count_;
    uint64_t exchanged_;
    uint64_t in_chunk_ = 1;   // input extents in a chunk
    uint64_t out_chunk_ = 1;  // output extents in a chunk
};

// Both sides are as many frames, in blocks that the caller may ask for, and no product overflows.
Result<> check(const abi::MemoryExchange& request, unsigned largest) {
    if (request.in.extent_order > largest || request.out.extent_order > largest) return Errno::kEPERM;
    const uint64_t most = ~uint64_t{0} >> (kMemoryOpBits + kLargestOrderOfControlDomain);
    if (request.in.nr_extents > most || request.out.nr_extents > most) return Errno::kEINVAL;
    if (request.in.nr_extents << request.in.extent_order != request.out.nr_extents
                                                                << request.out.extent_order)
        return Errno::kEINVAL;
    if (request.nr_exchanged > request.in.nr_extents) return Errno::kEINVAL;
    if (request.in.domid != request.out.domid) return Errno::kEINVAL;
    return {};
}

}  // namespace

CallResult exchange(const MemoryCall& call) {
    abi::MemoryExchange request;
    TRY(GuestIn<abi::MemoryExchange>(call.address).copy_in(request));
    const Domain& caller = call.context.domain();
    TRY(check(request, largest_order(caller)));
    const AllocationWish wish = TRY(wish_of(request.out.mem_flags));
    const DomainRef domain(TRY(find_target(caller, request.in.domid)));
    if (!may_change_memory_of(caller, *domain)) return Errno::kEPERM;
    return Exchange(call, *domain, request, wish).run();
}

}  // namespace torii::call
