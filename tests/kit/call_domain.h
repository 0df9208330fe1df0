// Whole domains with page tables, which make grant hypercalls as plain calls.
#pragma once

#include <torii/abi/grant_table.h>

#include <span>
#include <vector>

#include "arch/x86/pv/pte.h"
#include "core/call/context.h"
#include "core/domain/domain.h"
#include "fakes/fake_machine.h"

namespace torii::test {

class CallDomain {
public:
    // A domain with `frames` frames, one vCPU, a root table and one L1 table of kVirtualPages empty entries
    // at kVirtualBase, and one page of grants.
    explicit CallDomain(uint16_t id, bool privileged = false, const DomainLimits& limits = {1, 64, 4, 4},
                        uint32_t frames = 16);
    // A domain that somebody else built: `tables` are its L1 to L4.
    CallDomain(Domain& built, std::vector<Mfn> tables, VcpuId vcpu = VcpuId(0));
    // One seen from outside: its number and frames are known, and nothing keeps it.
    explicit CallDomain(DomId id) : id_(id) {}
    ~CallDomain();
    CallDomain(const CallDomain&) = delete;

    static constexpr uint64_t kVirtualBase = 0x1000'0000;
    static constexpr uint64_t kVirtualPages = 512;

    [[nodiscard]] Domain& domain() const { return *domain_; }
    [[nodiscard]] Vcpu& vcpu() const { return *domain_->vcpu(vcpu_); }
    [[nodiscard]] DomId id() const { return id_; }
    [[nodiscard]] Mfn mfn(uint32_t index) const { return frames_.at(index); }
    [[nodiscard]] Frame& frame(uint32_t index) const { return frame_at(mfn(index)); }
    [[nodiscard]] uint32_t frames() const { return static_cast<uint32_t>(frames_.size()); }
    void fill(uint32_t index, unsigned char value) const;
    // Finds out anew which frames it has, after it gave some away or got some. It may be gone, and has none.
    void refresh_frames();

    // Its address space.
    [[nodiscard]] static uint64_t va(unsigned page) { return kVirtualBase + page * kPageSize; }
    [[nodiscard]] pv::Pte pte(unsigned page) const;
    [[nodiscard]] uint64_t pte_address(unsigned page) const;
    // What mmu_update does to the entry of `page`.
    [[nodiscard]] Result<> write_pte(unsigned page, pv::Pte entry) const;
    [[nodiscard]] Mfn l1() const { return tables_[0]; }
    [[nodiscard]] Mfn table(unsigned level) const { return tables_[level - 1]; }
    [[nodiscard]] const std::vector<Mfn>& tables() const { return tables_; }

    // Its grant table.
    [[nodiscard]] abi::GrantEntryV1& entry(uint32_t ref) const;
    void grant(uint32_t ref, DomId to, Mfn frame, uint16_t flags = abi::kGtfPermitAccess) const;

    // A hypercall, issued again as long as it wants to be; what rax would say. `restarts` counts.
    int64_t call(abi::GrantTableOp operation, const void* array, uint64_t count);
    template <class Element>
    int64_t call(abi::GrantTableOp operation, Element& element) {
        return call(operation, &element, 1);
    }
    unsigned restarts = 0;

    [[nodiscard]] abi::GrantMap map(DomId granter, uint32_t ref, uint64_t host_addr,
                                    uint32_t flags = abi::kGrantMapHost);
    [[nodiscard]] int16_t unmap(uint32_t handle, uint64_t host_addr, uint64_t dev_bus_addr = 0);

    // Destroys the domain as far as it goes; it is gone when nobody uses its frames any more.
    void destroy();
    // Somebody else has ended it, or will.
    void forget() { domain_ = nullptr; }

private:
    void list_frames(Domain& domain);

    DomId id_;
    VcpuId vcpu_{};
    Domain* domain_ = nullptr;  // null once destroyed
    std::vector<Mfn> frames_;
    std::vector<Mfn> tables_;  // L1 to L4
};

}  // namespace torii::test
