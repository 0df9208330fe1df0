// Domains made of nothing but their event channels, and a guest's side of the FIFO ABI.
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "core/event/event_channel.h"
#include "core/event/global_virq.h"

namespace torii::test {

// What the hooks saw. One thread's tests only.
struct EventLog {
    std::vector<EventVcpu*> kicks;
    std::vector<EventVcpu*> woken_pollers;
    std::vector<uint32_t> closed_pirqs;
    int pages = 0;        // allocated and not freed
    int pinned = 0;       // guest pages pinned and not given back
    int fail_after = -1;  // allocations and pins until one fails; -1: never
    bool record = true;
};
extern EventLog event_log;

// Guest memory: frame n is the n-th page here.
struct GuestMemory {
    static constexpr uint64_t kFrames = 200;
    struct alignas(4096) Page {
        unsigned char bytes[4096];
    };
    std::vector<Page> pages = std::vector<Page>(kFrames);
};

struct TestDomain {
    explicit TestDomain(uint16_t id, unsigned vcpu_count = 2);
    ~TestDomain();

    EventTable table;
    std::unique_ptr<abi::SharedInfo> shared = std::make_unique<abi::SharedInfo>();
    std::vector<std::unique_ptr<EventVcpu>> vcpus;
    std::unique_ptr<Published<EventVcpu>[]> vcpu_pointers;
    GuestMemory memory;
    uint32_t array_pages = 0;

    // The guest's side.
    [[nodiscard]] bool pending(uint32_t port) const;
    void set_pending(uint32_t port, bool on);
    void set_masked(uint32_t port, bool on);
    [[nodiscard]] abi::VcpuInfo& info(unsigned vcpu) { return shared->vcpu_info[vcpu]; }
    // Takes the upcall flag of `vcpu`; true when it was set.
    bool take_upcall(unsigned vcpu);

    void use_fifo(uint32_t pages = 1);  // control blocks for all vCPUs, and the first pages of the array
    [[nodiscard]] abi::FifoEventWord& word(uint32_t port);
    [[nodiscard]] abi::FifoControlBlock& control(unsigned vcpu);
    // Consumes everything queued on `vcpu` as a kernel does: the ports that were pending and unmasked, in
    // order.
    std::vector<uint32_t> consume(unsigned vcpu);

private:
    std::vector<std::array<uint32_t, 16>> heads_;
};

}  // namespace torii::test
