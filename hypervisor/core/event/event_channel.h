// The event channels of one domain.
//
// Locks. `lock_` (LockRank::kEventPorts) guards which ports exist and what they are bound to; an operation on
// an interdomain pair takes the locks of both tables. Sending takes neither: it goes through the port's gate
// (port_state.h). The FIFO queues of a vCPU are guarded by its queue_lock. So the hot paths of two domains
// share no lock, save the queue of the vCPU that both of them notify.
//
// Lifetime. Another table keeps a pointer to this one only in interdomain ports, and those are gone once
// close_all() has finished. The owner calls close_all() until it is done, and destroys the table after every
// vCPU of the domain has stopped for good.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <span>

#include "base/bounded_index.h"
#include "base/published.h"
#include "core/event/event_vcpu.h"
#include "core/event/fifo_state.h"
#include "core/event/port_state.h"

namespace torii {

class EventTable {
public:
    static constexpr uint32_t kMostPorts = abi::kFifoChannelCount;
    static constexpr uint32_t kMostPirqs = kPageSize / sizeof(uint32_t);

    EventTable();
    EventTable(const EventTable&) = delete;
    ~EventTable();

    // Set while the domain is built, before anything is bound. `shared` is the domain's shared page as mapped
    // in the hypervisor; `vcpus` is the owner's array, indexed by vCPU id, in which null stands for a vCPU
    // that doesn't exist (yet). Both outlive the table.
    void attach(DomId id, abi::SharedInfo& shared, std::span<const Published<EventVcpu>> vcpus) {
        id_ = id;
        shared_ = &shared;
        vcpus_ = vcpus;
    }
    [[nodiscard]] DomId id() const { return id_; }
    // The highest port number that may be allocated.
    void limit_ports(uint32_t highest) { highest_port_.store(highest, std::memory_order_relaxed); }
    // PIRQs below `count` may be bound.
    void limit_pirqs(uint32_t count) { pirq_limit_ = count < kMostPirqs ? count : kMostPirqs; }

    [[nodiscard]] EventVcpu* vcpu(uint32_t id) const {
        return id < vcpus_.size() ? vcpus_[bounded(id, vcpus_.size())].get() : nullptr;
    }

    // Each takes the locks it needs; the caller holds none of rank kEventPorts or below. Errors beside those
    // listed: kENOSPC no port left within the limit, kENOMEM, kESRCH this domain is going away.
    [[nodiscard]] Result<Port> alloc_unbound(DomId remote);
    // kEINVAL: `remote_port` isn't an unbound port for this domain. The new port is pending from the start.
    [[nodiscard]] Result<Port> bind_interdomain(EventTable& remote, Port remote_port);
    // kEINVAL: no such VIRQ, or a global one elsewhere than on vCPU 0. kENOENT: no such vCPU. kEEXIST: bound
    // already.
    [[nodiscard]] Result<Port> bind_virq(uint32_t virq, uint32_t vcpu);
    // kENOENT: no such vCPU.
    [[nodiscard]] Result<Port> bind_ipi(uint32_t vcpu);
    // kEINVAL: PIRQ out of range. kEEXIST: bound already.
    [[nodiscard]] Result<Port> bind_pirq(uint32_t pirq);
    // kEINVAL: nothing there to close. The peer's port becomes unbound.
    [[nodiscard]] Result<> close(Port port);
    // kENOENT: no such vCPU. kEINVAL: the port can't be moved.
    [[nodiscard]] Result<> bind_vcpu(Port port, uint32_t vcpu);
    // Fills all of `status` but `dom`. kEINVAL: no such port.
    [[nodiscard]] Result<> status(Port port, abi::EventStatus& status);
    // kENOSYS: two-level ABI in use. kEINVAL: no such port or priority.
    [[nodiscard]] Result<> set_priority(Port port, uint32_t priority);

    // EVTCHNOP_reset: closes all ports and goes back to the two-level ABI, in steps that look at `budget`
    // places each: the first with `from_start`, the others without, until one returns true.
    [[nodiscard]] bool reset(uint32_t budget, bool from_start);
    // The domain goes away: from the first call on nothing can be bound any more. True when everything is
    // closed and no page of the guest is held; until then, call again.
    [[nodiscard]] bool close_all(uint32_t budget);

    // EVTCHNOP_init_control. `*link_bits` is set on success. kENOENT: no such vCPU. kEINVAL: bad offset, bad
    // frame, or this vCPU has a block already.
    [[nodiscard]] Result<> init_control(uint32_t vcpu, Mfn frame, uint32_t offset, uint8_t& link_bits);
    // EVTCHNOP_expand_array. kEOPNOTSUPP: two-level ABI in use. kENOSPC: array complete.
    [[nodiscard]] Result<> expand_array(Mfn frame);

    // No lock on the way, unless the event has to be queued. kEINVAL: no such port, or not one to send on. A
    // send to an unbound or closing port is dropped and succeeds.
    [[nodiscard]] Result<> send(Port port);
    // Raises a virtual interrupt on `vcpu` (global ones: on vCPU 0's binding). Dropped when nothing is bound.
    // The caller keeps the domain alive.
    void raise_virq(EventVcpu& vcpu, abi::Virq virq);
    void raise_global_virq(abi::Virq virq);
    // Returns the vCPU that the event notifies; null: nobody has bound it.
    EventVcpu* raise_pirq(uint32_t pirq);

    // EVTCHNOP_unmask: clears the mask and delivers what waited behind it. kEINVAL: no such port.
    [[nodiscard]] Result<> unmask(Port port);

    // SCHEDOP_poll: from here on `vcpu` is woken (event_wake_poller) when one of `ports` becomes pending.
    // True when one already is. kEINVAL: no such port. Ends with stop_polling() in every case but the error.
    [[nodiscard]] Result<bool> start_polling(EventVcpu& vcpu, std::span<const abi::RawPort> ports);
    void stop_polling(EventVcpu& vcpu);
    // False once one of the ports became pending.
    [[nodiscard]] static bool is_polling(const EventVcpu& vcpu) {
        return vcpu.polls.load() != EventVcpu::kPollsNothing;
    }

    [[nodiscard]] bool uses_fifo() const { return fifo_.load(std::memory_order_acquire) != nullptr; }
    // What of the guest's memory is in use for it; null with the two-level ABI.
    [[nodiscard]] const FifoState* fifo() const { return fifo_.load(std::memory_order_acquire); }
    [[nodiscard]] uint32_t ports_in_use() const { return ports_in_use_.load(std::memory_order_relaxed); }

    // VIRQs that exist once per domain, as opposed to once per vCPU.
    [[nodiscard]] static bool is_global(abi::Virq virq);

private:
    static constexpr unsigned kPortsPerPage = kPageSize / sizeof(PortEntry);
    static constexpr unsigned kPortsPerGroup = 4096;
    static constexpr unsigned kGroups = kMostPorts / kPortsPerGroup;
    static constexpr uint32_t kNoPort = ~0u;

    // 4096 ports: pages of entries, made as they are needed and kept to the end, and which ports are free.
    struct PortGroup {
        std::array<std::atomic<PortEntry*>, kPortsPerGroup / kPortsPerPage> pages{};
        std::array<uint64_t, kPortsPerGroup / 64> free;  // a bit per port
        uint64_t words_with_free = ~uint64_t{0};         // a bit per word of `free`
        PortGroup() { free.fill(~uint64_t{0}); }
    };
    static_assert(sizeof(PortGroup) <= kPageSize);

    // Null when the port is out of range or its page was never made. Such a port is free.
    [[nodiscard]] PortEntry* find(uint32_t port) const {
        if (port >= kMostPorts) [[unlikely]]
            return nullptr;
        port = bounded<kMostPorts>(port);
        const PortGroup* const group = groups_[port / kPortsPerGroup].load(std::memory_order_acquire);
        if (group == nullptr) [[unlikely]]
            return nullptr;
        PortEntry* const page =
            group->pages[port % kPortsPerGroup / kPortsPerPage].load(std::memory_order_acquire);
        return page == nullptr ? nullptr : page + port % kPortsPerPage;
    }

    struct NewPort {
        PortEntry* entry;
        uint32_t number;
    };
    // lock_ held. The port stays free until commit(), so that giving up needs no undoing.
    [[nodiscard]] Result<NewPort> reserve();
    template <class State>
    void commit(const NewPort& port, const State& state, uint32_t notify_vcpu);
    [[nodiscard]] uint32_t next_free(uint32_t from) const;
    [[nodiscard]] Result<PortEntry*> make_entry(uint32_t port);
    void mark_free(uint32_t port, bool free);
    void close_entry(PortEntry& entry, uint32_t port);
    void unbind(const PortState& state, const PortEntry& entry);
    void forget_pending(PortEntry& entry, uint32_t port);

    [[nodiscard]] EventVcpu* notified_by(const PortEntry& entry) const {
        const uint32_t id = entry.notify_vcpu.load(std::memory_order_relaxed);  // checked when it was bound
        return id < vcpus_.size() ? vcpus_[id].get() : nullptr;
    }

    // Inside the port's gate, or lock_ held. (delivery.cpp, fifo.cpp)
    void deliver(PortEntry& entry, uint32_t port);
    void deliver_two_level(PortEntry& entry, uint32_t port);
    void deliver_fifo(FifoState& fifo, PortEntry& entry, uint32_t port);
    void unmask_entry(PortEntry& entry, uint32_t port);
    void link(FifoState& fifo, PortEntry& entry, uint32_t port, abi::FifoEventWord& word);
    void wake_pollers(uint32_t port);
    [[nodiscard]] bool is_pending(uint32_t port) const;

    // (fifo.cpp) lock_ held:
    [[nodiscard]] Result<FifoState*> make_fifo();
    void adopt_two_level_events();
    // lock_ not held. Does nothing while a port is in use.
    void leave_fifo();

    friend struct EventVcpu;

    DomId id_{};
    abi::SharedInfo* shared_ = nullptr;
    std::span<const Published<EventVcpu>> vcpus_;
    std::atomic<FifoState*> fifo_{nullptr};  // null while the two-level ABI is used
    std::atomic<uint32_t> pollers_{0};       // vCPUs that poll, at least
    std::array<std::atomic<PortGroup*>, kGroups> groups_{};
    PortGroup first_group_;

    Spinlock lock_{LockRank::kEventPorts};
    // Below: lock_.
    bool going_away_ = false;
    bool leaving_fifo_ = false;  // the pages of the old array are being given back
    uint32_t groups_with_free_ = ~0u;
    std::atomic<uint32_t> highest_port_{kMostPorts - 1};
    std::atomic<uint32_t> ports_in_use_{0};
    uint32_t pirq_limit_ = 0;
    std::atomic<std::atomic<uint32_t>*> pirq_ports_{
        nullptr};                            // kMostPirqs of them, made at the first binding
    std::atomic<uint32_t> close_cursor_{1};  // where a reset goes on

    // CPUs that are about to take lock_ on account of an interdomain port which may be gone by then.
    std::atomic<uint32_t> pins_{0};
};

}  // namespace torii
