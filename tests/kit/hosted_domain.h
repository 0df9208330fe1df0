// Domains that make any hypercall as their guests would, each on a CPU of its own.
#pragma once

#include <torii/abi/hypercall_numbers.h>
#include <torii/abi/mmu.h>

#include <initializer_list>

#include "arch/x86/pv/pte.h"
#include "kit/call_domain.h"

namespace torii::test {

inline constexpr uint64_t kTableFlags =
    pv::kPtePresent | pv::kPteWrite | pv::kPteUser | pv::kPteAccessed | pv::kPteDirty;
inline constexpr uint64_t kReadOnly = kTableFlags & ~pv::kPteWrite;

class HostedDomain : public CallDomain {
public:
    HostedDomain(uint16_t id, unsigned cpu, bool privileged = false, uint32_t frames = 24,
                 const DomainLimits& limits = {1, 64, 4, 4});
    HostedDomain(Domain& built, unsigned cpu, std::vector<Mfn> tables);
    // The part of one vCPU that runs on a CPU of its own (fakes/fake_cpus.h).
    HostedDomain(Vcpu& running, std::vector<Mfn> tables);
    explicit HostedDomain(DomId id) : CallDomain(id) {}

    // rax at the end; the call is issued again as long as it asks for that, `most` times (`unfinished` says
    // that it would have gone on).
    int64_t hypercall(abi::Hypercall number, std::initializer_list<uint64_t> arguments,
                      unsigned most = 10'000);

    int64_t mmuext(abi::MmuextOpCommand command, uint64_t mfn, uint64_t second = 0,
                   uint16_t about = abi_self());
    // One request, or several in one batch.
    int64_t update(uint64_t place, uint64_t value, uint32_t domains = abi_self());
    int64_t update(std::initializer_list<abi::MmuUpdate> requests, uint32_t domains = abi_self());

    // Contents, as the guest writes them while the frame is no table.
    [[nodiscard]] uint64_t* entries(Mfn table) const { return fakes::machine().guest_view<uint64_t>(table); }
    void clear(Mfn mfn) const;
    // The same where others work on the domain too: nothing happens unless the frame can be written to at
    // this moment. False then.
    bool write(Mfn mfn, unsigned slot, uint64_t value) const;
    [[nodiscard]] static uint64_t entry(Mfn target, uint64_t flags = kTableFlags) {
        return address_of(target).raw() | flags;
    }
    [[nodiscard]] static uint64_t place(Mfn table, unsigned slot) {
        return address_of(table).raw() + slot * 8;
    }
    // The built-in tables.
    [[nodiscard]] Mfn table(unsigned level) const;

    [[nodiscard]] CpuId cpu() const { return cpu_; }
    // The vCPU uses an address of its memory.
    void touch(uint64_t va) const;
    unsigned continuations = 0;
    bool unfinished = false;
    // The next call is made as the middle entry of a multicall.
    bool batch_next = false;

private:
    int64_t hypercall_in_batch(abi::Hypercall number, std::initializer_list<uint64_t> arguments,
                               unsigned most);
    static constexpr uint16_t abi_self() { return 0x7ff0; }
    CpuId cpu_{};
};

}  // namespace torii::test
