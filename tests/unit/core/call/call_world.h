// Domains on the fake machine, and hypercalls as their guests would issue them.
#pragma once

#include <gtest/gtest.h>
#include <torii/abi/domctl.h>
#include <torii/abi/hypercall_numbers.h>
#include <torii/abi/sysctl.h>

#include <cstdint>
#include <cstring>
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

    // Control operations, issued by the control domain's tools.
    static abi::Domctl request(abi::DomctlCommand command, uint16_t domain) {
        abi::Domctl op;
        memset(static_cast<void*>(&op), 0, sizeof(op));
        op.cmd = static_cast<uint32_t>(command);
        op.interface_version = abi::kDomctlInterfaceVersion;
        op.domain = domain;
        return op;
    }
    static abi::Sysctl request(abi::SysctlCommand command) {
        abi::Sysctl op;
        memset(static_cast<void*>(&op), 0, sizeof(op));
        op.cmd = static_cast<uint32_t>(command);
        op.interface_version = abi::kSysctlInterfaceVersion;
        return op;
    }
    int64_t issue(abi::Domctl& op) { return call(control(), abi::Hypercall::kDomctl, {address(&op)}); }
    int64_t issue(abi::Sysctl& op) { return call(control(), abi::Hypercall::kSysctl, {address(&op)}); }

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
