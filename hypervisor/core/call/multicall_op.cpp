// multicall: several calls for the price of one entry (public xen.h). Entries run through the same table as
// single calls.
//
// A batch stops between two entries when other work waits, and inside an entry when that call asks to be
// continued. Either way the guest's registers then describe the entries that are left, and an interrupted
// entry's arguments in guest memory say where it goes on, so that issuing the same call again finishes the
// batch.
#include <torii/abi/hypercall_numbers.h>
#include <torii/abi/multicall.h>

#include "base/once.h"
#include "core/call/dispatch.h"
#include "core/call/guest_ptr.h"
#include "core/call/handlers.h"
#include "core/domain/privilege.h"

namespace torii::call {
namespace {

using abi::MulticallEntry;

// Entries fetched at a time: a kernel's usual batch is a handful of page-table or context-switch calls.
constexpr uint64_t kFetched = 4;
// A trivial entry costs a small part of a microsecond; after this many the way out of the hypervisor is due.
constexpr uint32_t kEntriesPerTurn = 256;

class Batch {
public:
    explicit Batch(CallContext& context)
        : caller_(context), entries_(context.arg<0>()), count_(context.arg32<1>()) {
        registers_.rip = context.registers().rip;
        registers_.cs = context.registers().cs;
        registers_.rflags = context.registers().rflags;
    }

    CallResult run() {
        Budget budget(kEntriesPerTurn);
        MulticallEntry fetched[kFetched];
        while (done_ < count_) {
            const uint64_t some = count_ - done_ < kFetched ? count_ - done_ : kFetched;
            TRY(entries_.read_many(done_, fetched, some));
            counters_ = &counters();
            for (uint64_t i = 0; i < some; ++i) {
                if (!budget.spend(1) || (done_ != 0 && read_once(caller_.vcpu.entry.exit_work) != 0))
                    [[unlikely]]
                    return continue_later();
                const bool finished = TRY(run_entry(fetched[i]));
                if (!finished) [[unlikely]]
                    return continue_later();
                ++done_;
            }
        }
        return 0;
    }

private:
    // One entry; false when it has to be continued.
    Result<bool> run_entry(const MulticallEntry& entry) {
        registers_.rdi = entry.args[0];
        registers_.rsi = entry.args[1];
        registers_.rdx = entry.args[2];
        registers_.r10 = entry.args[3];
        registers_.r8 = entry.args[4];
        registers_.r9 = entry.args[5];
        const CallResult answer = call_entry(entry.op);
        if (answer.error() == Errno::kERESTART) [[unlikely]] {
            TRY(remember_progress());
            return false;
        }
        TRY(write_result(answer));
        return true;
    }

    CallResult call_entry(uint64_t op) {
        const auto number = static_cast<uint32_t>(op);
        if (op >= kCountedHypercalls) [[unlikely]]
            return Errno::kENOSYS;
        const HypercallRow& row = row_of(number);
        ++counters_->hypercalls[number];
        ++counters_->events[static_cast<unsigned>(EventKind::kMulticallEntry)];
        // A batch inside a batch would nest without end, and a call that works on the caller's frame has none
        // here.
        if (row.kind != kOrdinary) [[unlikely]] {
            if ((row.kind & kPrivileged) != 0 && !may_control_machine(caller_.domain())) return Errno::kEPERM;
            if ((row.kind & (kWholeFrame | kBatch)) != 0) return Errno::kEINVAL;
        }
        TraceEntry& trace = caller_.vcpu.trace.push(TraceKind::kHypercall, static_cast<uint16_t>(number),
                                                    registers_.rip, registers_.rdi, true);
        CallContext context(caller_.vcpu, registers_);
        CallResult result = row.handler(context);
        // A vCPU that slept may have moved, and a CPU's counters are written by that CPU alone.
        if (number == static_cast<uint32_t>(abi::Hypercall::kSchedOp)) [[unlikely]]
            counters_ = &counters();
        trace.result = static_cast<uint32_t>(result.ok() ? result.value() : abi::negated(result.error()));
        return result;
    }

    [[nodiscard]] uint64_t address_of_field(size_t offset) const {
        return entries_.address() + done_ * sizeof(MulticallEntry) + offset;
    }

    Result<> write_result(CallResult answer) {
        const int64_t value = answer.ok() ? answer.value() : abi::negated(answer.error());
        // The entry was read, so its address needs no second check.
        if (!copy_to_guest(address_of_field(offsetof(MulticallEntry, result)), &value, sizeof(value)))
            [[unlikely]]
            return Errno::kEFAULT;
        return {};
    }

    Result<> remember_progress() {
        const uint64_t args[6] = {registers_.rdi, registers_.rsi, registers_.rdx,
                                  registers_.r10, registers_.r8,  registers_.r9};
        return GuestArray<uint64_t>(address_of_field(offsetof(MulticallEntry, args))).write_many(0, args, 6);
    }

    CallResult continue_later() {
        caller_.set_arg<0>(address_of_field(0));
        caller_.set_arg<1>(count_ - done_);
        return Errno::kERESTART;
    }

    CallContext& caller_;
    GuestArray<MulticallEntry> entries_;
    uint64_t count_;
    uint64_t done_ = 0;
    CpuCounters* counters_ = nullptr;
    pv::GuestRegisters
        registers_{};  // what an entry's handler takes for the caller's registers: arguments only
};

}  // namespace

CallResult multicall(CallContext& context) {
    return Batch(context).run();
}

}  // namespace torii::call
