// Domains on the fake machine, and hypercalls as their guests would issue them.
#pragma once

#include <gtest/gtest.h>
#include <torii/abi/hypercall_numbers.h>

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "core/domain/domain.h"

namespace torii::test {

// The control domain and one guest, with a vCPU each; gone, with every frame back, when the object ends.
class CallWorld : public ::testing::Test {
protected:
    void SetUp() override;
    void TearDown() override;

    // Issues the call from the domain's vCPU 0, again for as long as it asks to be continued; returns rax.
    int64_t call(Domain& from, abi::Hypercall number, std::initializer_list<uint64_t> arguments);
    // The same with a number that may be anything, once; `continued` says whether it asked to go on.
    int64_t call_once(Domain& from, uint64_t rax, bool& continued);

    Domain& control() { return *control_; }
    Domain& guest() { return *guest_; }
    static Vcpu& vcpu(Domain& domain) { return *domain.vcpus[0]; }
    static pv::GuestRegisters& registers(Domain& domain) { return *vcpu(domain).pv.registers; }

    // Frames for the guest, as a builder would give them.
    std::vector<uint64_t> give_frames(Domain& domain, unsigned count);
    static uint64_t address(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }

    unsigned continuations = 0;

private:
    Domain* control_ = nullptr;
    Domain* guest_ = nullptr;
    uint64_t free_before_ = 0;
};

constexpr int64_t failure(Errno error) {
    return abi::negated(error);
}

void destroy(Domain& domain);

}  // namespace torii::test
