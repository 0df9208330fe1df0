// Interrupts of devices: lines of IO-APICs and messages (MSI, MSI-X), and which domain hears of each.
//
// An interrupt has the number that its domain names it by (PIRQ). A line's is the line's own; messages have
// numbers above all lines.
//
// THE WAY OF AN INTERRUPT
//   it comes to a CPU by a vector -> the interrupt that the vector stands for there -> an event of the domain
//   that bound it. A level-triggered line stays masked from then on until the domain says that it is done
//   (EOI), since it would come again at once. A message, or an edge, is forgotten at once: what comes before
//   the domain has looked is the same event. It follows the vCPU that its event notifies: after it has come
//   to another CPU for some time, it moves there.
//   A line that comes again at once after each end (storm_guard.h) is left masked at one of them, and a timer
//   takes the mask away later, so that its domain gets on.
//
// Locks: each interrupt has its own (LockRank::kInterrupt), taken when it comes. kMapping: which there are.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/bounded_index.h"
#include "base/ids.h"
#include "base/lock.h"
#include "base/published.h"
#include "base/result.h"
#include "core/event/event_channel.h"
#include "core/interrupt/storm_guard.h"
#include "core/interrupt/vectors.h"
#include "core/pci/message.h"
#include "core/sched/timer.h"

namespace torii {

struct Interrupt {
    enum class Kind : uint8_t { kLine, kMessage };
    enum class Trigger : uint8_t { kUnknown, kEdge, kLevel };

    // Lives as long as the hypervisor, so its timer may fire whoever has the line by then.
    Interrupt(Kind kind, uint32_t pirq) : kind(kind), pirq(pirq), release(*this) {}

    const Kind kind;
    const uint32_t pirq;
    Spinlock lock{LockRank::kInterrupt};

    // Under lock:
    DomId mapped_by{};  // who may bind it, while `is_mapped`
    bool is_mapped = false;
    bool masked_by_domain = false;        // a message: what the domain wrote to its mask
    bool in_service = false;              // a level-triggered line waits for its domain
    Trigger trigger = Trigger::kUnknown;  // of a line
    bool active_low = false;
    EventTable* listener = nullptr;  // null: nobody has bound it, and it is masked
    CpuId cpu{};
    uint8_t vector = 0;     // 0: none yet
    uint8_t together = 1;   // of the first of several messages that share an address: how many there are
    MessagePlace place{};   // of a message
    uint8_t elsewhere = 0;  // how often in a row it came to another CPU than its vCPU's
    StormGuard storm;       // of a level-triggered line
    // It stays masked until `release` fires. Nothing else ends that, so that nobody sets the timer twice.
    bool held_back = false;
    bool was_held_back = false;  // since it was mapped: the log tells of it once
    std::atomic<uint64_t> arrived{0};
    std::atomic<uint64_t> strays{0};  // came while nobody listened

    struct Release : Timer {
        explicit Release(Interrupt& owner) : Timer(&fire), interrupt(owner) {}
        static void fire(Timer& timer);
        Interrupt& interrupt;
    };
    Release release;  // set without lock, by who has set `held_back`
};

struct MessageRequest {
    PciAddress device{};
    MessageKind kind = MessageKind::kMsi;
    unsigned count = 1;   // MSI: a power of two once rounded up
    unsigned index = 0;   // MSI-X: of the table's entry
    MachineAddr table{};  // MSI-X: where the control domain says that the table's BAR lies
};

class DeviceInterrupts {
public:
    static constexpr uint32_t kMost = EventTable::kMostPirqs;

    // Once, after all CPUs run. ENOMEM.
    [[nodiscard]] Result<> start();
    [[nodiscard]] uint32_t lines() const { return lines_; }
    // One past the highest number that an interrupt can have.
    [[nodiscard]] static uint32_t end() { return kMost; }

    // How a line behaves. EINVAL: no such line. EBUSY: it is in use and behaves otherwise. EEXIST: that was
    // said before, or the line is the hypervisor's own.
    [[nodiscard]] Result<> describe_line(uint32_t line, bool level, bool active_low);
    // The hypervisor's own line can be mapped too, since a kernel maps all that there may be, but not bound.
    // EINVAL, EBUSY (another domain's), ENOSPC (no vector), ENOMEM.
    [[nodiscard]] Result<> map_line(DomId domain, uint32_t line);
    // The number of the first, behind which those of the others follow. Errors of msi_place and msix_place;
    // EEXIST: the device's message is mapped already; ENOSPC: no number or no vector left; ENOMEM.
    [[nodiscard]] Result<uint32_t> map_message(DomId domain, const MessageRequest& request);
    // A port that is bound to it hears nothing any more. Messages that share an address go with the first.
    // EINVAL: not the domain's, or not the first of such messages.
    [[nodiscard]] Result<> unmap(DomId domain, uint32_t pirq);
    // All that the domain has mapped.
    void unmap_all(DomId domain);
    // The device lost its messages, in a reset for example: they are set up as they were. EINVAL: it has
    // none.
    [[nodiscard]] Result<> restore(PciAddress device);

    // From here on it comes as an event. EINVAL: not mapped by that domain. EBUSY: bound by someone, or the
    // hypervisor's own.
    [[nodiscard]] Result<> bind(EventTable& listener, uint32_t pirq);
    void unbind(EventTable& listener, uint32_t pirq);
    // The domain is done with it. EINVAL: not the domain's. Sets a timer: no lock of kTimer or below is held.
    [[nodiscard]] Result<> end_of(DomId domain, uint32_t pirq);
    // Whether the domain has to say so.
    [[nodiscard]] Result<bool> needs_end(DomId domain, uint32_t pirq);

    // A device vector came to the calling CPU, before the end is told to its APIC. False: nobody's.
    bool arrive(CpuId cpu, unsigned vector);

    // The domain masks the message of an MSI-X entry, or takes its mask away. Of an entry that nobody has
    // mapped nothing is remembered: it is masked.
    void mask_for_domain(MachineAddr entry, bool masked);
    // Guards the function's table of MSI-X against stores (core/memory/io_frames.h); nothing happens without
    // one.
    void guard_table(PciAddress device);
    // Whether the function has a message of that kind that the hypervisor set up.
    [[nodiscard]] bool has_messages(PciAddress device, MessageKind kind);
    // For tests and reports; null: no such interrupt.
    [[nodiscard]] const Interrupt* find(uint32_t pirq) const { return at(pirq); }

private:
    // Before the start there is none.
    [[nodiscard]] Interrupt* at(uint32_t pirq) const {
        return pirq < kMost && all_ != nullptr ? all_[bounded<kMost>(pirq)].get() : nullptr;
    }
    [[nodiscard]] Interrupt* of_domain(DomId domain, uint32_t pirq) const;
    [[nodiscard]] Result<Interrupt*> line(uint32_t number);
    [[nodiscard]] Result<uint32_t> free_numbers(unsigned count) const;
    [[nodiscard]] bool is_set_up(PciAddress device, MessageKind kind) const;
    [[nodiscard]] Result<> check_place(const MessagePlace& place) const;
    [[nodiscard]] Result<> make_room(uint32_t first, unsigned count);
    struct Place {
        CpuId cpu{};
        uint8_t vector = 0;
    };
    [[nodiscard]] Result<Place> claim(uint32_t first, unsigned count);
    void retire(Interrupt& interrupt, unsigned count);
    void move(Interrupt& interrupt, CpuId to);

    Spinlock mapping_lock_{LockRank::kInterruptMap};
    uint32_t lines_ = 0;
    VectorSpace vectors_;
    Published<Interrupt>* all_ = nullptr;
};

extern DeviceInterrupts device_interrupts;

}  // namespace torii
