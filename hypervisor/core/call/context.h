// One hypercall in flight.
#pragma once

#include "base/result.h"
#include "core/domain/domain.h"

namespace torii {

// What a handler returns: the value for rax, an error, or ERESTART after `resume_with` to be issued again.
using CallResult = Result<int64_t>;

class CallContext {
public:
    CallContext(Vcpu& vcpu, pv::GuestRegisters& registers) : vcpu(vcpu), registers_(registers) {}

    Vcpu& vcpu;

    [[nodiscard]] Domain& domain() const { return *vcpu.domain; }

    // Argument `Index` as the full register, and narrowed on purpose.
    template <unsigned Index>
    [[nodiscard]] uint64_t arg() const {
        return argument<Index>(registers_);
    }
    template <unsigned Index>
    [[nodiscard]] uint32_t arg32() const {
        return static_cast<uint32_t>(argument<Index>(registers_));
    }
    template <unsigned Index>
    void set_arg(uint64_t value) {
        argument<Index>(registers_) = value;
    }

    // For the few calls that need the whole frame (iret, forced shutdowns).
    [[nodiscard]] pv::GuestRegisters& registers() const { return registers_; }

private:
    template <unsigned Index>
    static uint64_t& argument(pv::GuestRegisters& r) {
        static_assert(Index < 6);
        if constexpr (Index == 0) return r.rdi;
        if constexpr (Index == 1) return r.rsi;
        if constexpr (Index == 2) return r.rdx;
        if constexpr (Index == 3) return r.r10;
        if constexpr (Index == 4) return r.r8;
        if constexpr (Index == 5) return r.r9;
    }
    pv::GuestRegisters& registers_;
};

#ifdef TORII_HOST
// Tests on small memories shorten every turn, so that calls stop half-way in them too.
inline thread_local uint32_t budget_divisor = 1;
#else
inline constexpr uint32_t budget_divisor = 1;
#endif

// How much a call may do before it lets others run: units of about a microsecond.
class Budget {
public:
    explicit Budget(uint32_t units) : left_(units < budget_divisor ? 1 : units / budget_divisor) {}
    // Spends; false when the call should stop and be resumed.
    [[nodiscard]] bool spend(uint32_t units) {
        if (left_ < units) return false;
        left_ -= units;
        return true;
    }

private:
    uint32_t left_;
};

}  // namespace torii
