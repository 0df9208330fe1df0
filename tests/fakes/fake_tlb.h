// What the fake CPUs remember of page tables. A translation that was used stays until the hypervisor says
// that it is gone, whatever happens to the tables meanwhile; so does the knowledge which L1 table serves
// which 2 MiB.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/frame.h"
#include "base/ids.h"
#include "base/rememberers.h"

namespace torii {
struct Vcpu;
}

namespace torii::fakes {

inline constexpr unsigned kFakeCpus = 4;

struct Translation {
    DomId domain{};   // whose page tables were walked
    uint64_t va = 0;  // of the page
    Mfn l1_table{};
    Mfn mfn{};
    bool writable = false;
};

class Tlb {
public:
    // The guest on `cpu` touches `va`: what is remembered is used, otherwise the tables of `root` are walked.
    // False when nothing is mapped there.
    bool touch(CpuId cpu, DomId domain, Mfn root, uint64_t va);
    [[nodiscard]] const std::vector<Translation>& entries(CpuId cpu) const { return entries_[cpu.raw()]; }

    // Whose translations the CPU may hold; anyone may ask. Said before page tables are walked.
    [[nodiscard]] Rememberers held(unsigned cpu) const { return Rememberers::from_raw(held_[cpu].load()); }

    void forget_all(unsigned cpu) {
        entries_[cpu].clear();
        held_[cpu].store(Rememberers::nobody().raw());
    }
    void forget_page(unsigned cpu, uint64_t va);

private:
    std::vector<Translation> entries_[kFakeCpus];
    std::atomic<uint16_t> held_[kFakeCpus]{};
};

[[nodiscard]] Tlb& tlb();

}  // namespace torii::fakes
