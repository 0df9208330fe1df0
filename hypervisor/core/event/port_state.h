// One port: its state, who may use it at this instant, and how its state changes.
//
// A sender uses a port without any lock, behind its *gate*: a word that holds the kind of state and the
// number of CPUs that use the port right now. Using is two atomic additions and never waits. Whoever changes
// the state holds the table's lock (for an interdomain pair, the locks of both tables), turns the kind to
// kClosing so that nobody new comes in, waits until those inside have left, writes the new state and opens
// the gate again. Hence:
//
//   Whoever is inside a gate sees a state that doesn't change, and everything it refers to exists. For an
//   interdomain port that includes the peer's port, since the peer can't close without closing this gate too.
//
// Inside a gate a CPU may take queue and scheduler locks, never a table's lock: the closer waits while it
// holds that.
#pragma once

#include <torii/abi/event_channel.h>
#include <torii/abi/virq.h>

#include <array>
#include <atomic>
#include <variant>

#include "base/ids.h"
#include "base/lock.h"

namespace torii {

class EventTable;
struct PortEntry;

struct PortFree {};
struct PortUnbound {
    DomId remote{};  // who may bind it
};
struct PortInterdomain {
    EventTable* table;
    Port port;
    PortEntry* peer;  // the entry of `port` in `table`
};
struct PortVirq {
    abi::Virq virq;
};
struct PortIpi {};
struct PortPirq {
    uint32_t pirq;
};

// The order is that of PortKind.
using PortState = std::variant<PortFree, PortUnbound, PortInterdomain, PortVirq, PortIpi, PortPirq>;

enum class PortKind : uint8_t { kFree, kUnbound, kInterdomain, kVirq, kIpi, kPirq, kClosing };
static_assert(std::variant_size_v<PortState> == static_cast<size_t>(PortKind::kClosing));

// 32 bytes, so that a page holds 128. The packed form of PortState and of how its events are delivered.
struct PortEntry {
    std::atomic<uint32_t> gate{0};  // kind in the top 4 bits, CPUs inside below

    uint32_t number = 0;  // unbound: remote domain; interdomain: peer's port; else VIRQ or PIRQ
    EventTable* table = nullptr;
    PortEntry* peer = nullptr;

    std::atomic<uint16_t> notify_vcpu{0};
    std::atomic<uint8_t> priority{abi::kFifoPriorityDefault};
    // Raised while the event array had no word for this port; delivered when the array grows.
    std::atomic<bool> deferred{false};
    // FIFO: the queue that linked this port last, vCPU * 16 + priority. Changed under the locks of both the
    // old queue and the new one. Outlives closing, because the port may still be the tail of that queue.
    static constexpr uint32_t kNoQueue = ~0u;
    std::atomic<uint32_t> last_queue{kNoQueue};

    static constexpr unsigned kKindShift = 28;
    static constexpr uint32_t kUsersMask = (1u << kKindShift) - 1;

    [[nodiscard]] static PortKind kind_in(uint32_t gate) { return static_cast<PortKind>(gate >> kKindShift); }
    [[nodiscard]] PortKind kind() const { return kind_in(gate.load(std::memory_order_relaxed)); }

    // Table's lock held.
    [[nodiscard]] PortState state() const {
        switch (kind()) {
            case PortKind::kUnbound:
                return PortUnbound{DomId(static_cast<uint16_t>(number))};
            case PortKind::kInterdomain:
                return PortInterdomain{table, Port(number), peer};
            case PortKind::kVirq:
                return PortVirq{static_cast<abi::Virq>(number)};
            case PortKind::kIpi:
                return PortIpi{};
            case PortKind::kPirq:
                return PortPirq{number};
            case PortKind::kFree:
            case PortKind::kClosing:
                break;
        }
        return PortFree{};
    }

    // Table's lock held. On return nobody is inside and nobody comes in until open().
    void shut() {
        const uint32_t from = gate.load(std::memory_order_relaxed) & ~kUsersMask;
        gate.fetch_add((static_cast<uint32_t>(PortKind::kClosing) << kKindShift) - from);
        while ((gate.load(std::memory_order_acquire) & kUsersMask) != 0)
            serve_while_waiting();
    }

    // Table's lock held; the port is free or shut.
    template <class State>
    void open(const State& next) {
        pack(next);
        const uint32_t from = gate.load(std::memory_order_relaxed) & ~kUsersMask;
        constexpr auto kKind = static_cast<uint32_t>(PortState(State{}).index());
        gate.fetch_add((kKind << kKindShift) - from, std::memory_order_release);
    }

private:
    void pack(PortFree) { pack(0, nullptr, nullptr); }
    void pack(const PortUnbound& s) { pack(s.remote.raw(), nullptr, nullptr); }
    void pack(const PortInterdomain& s) { pack(s.port.raw(), s.table, s.peer); }
    void pack(const PortVirq& s) { pack(static_cast<uint32_t>(s.virq), nullptr, nullptr); }
    void pack(PortIpi) { pack(0, nullptr, nullptr); }
    void pack(const PortPirq& s) { pack(s.pirq, nullptr, nullptr); }
    void pack(uint32_t new_number, EventTable* new_table, PortEntry* new_peer) {
        number = new_number;
        table = new_table;
        peer = new_peer;
    }
};
static_assert(sizeof(PortEntry) == 32);

// A CPU inside a port's gate. `kind()` is kFree or kClosing when it did not get in.
class [[nodiscard]] PortUse {
public:
    [[gnu::always_inline]] explicit PortUse(PortEntry& entry) : entry_(entry), kind_(entry.kind()) {
        // Looked at before it is counted: those who come while it closes must not make the closer wait on.
        if (kind_ == PortKind::kFree || kind_ == PortKind::kClosing) return;
        kind_ = PortEntry::kind_in(entry_.gate.fetch_add(1));
        if (kind_ == PortKind::kFree || kind_ == PortKind::kClosing) [[unlikely]]
            leave();
    }
    PortUse(const PortUse&) = delete;
    [[gnu::always_inline]] ~PortUse() {
        if (kind_ != PortKind::kFree && kind_ != PortKind::kClosing) leave();
    }
    [[nodiscard]] PortKind kind() const { return kind_; }

private:
    void leave() { entry_.gate.fetch_sub(1, std::memory_order_release); }

    PortEntry& entry_;
    PortKind kind_;
};

}  // namespace torii
