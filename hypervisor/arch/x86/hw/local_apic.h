// How a local APIC is talked to: by memory (xAPIC) or by model-specific registers (x2APIC), its timer
// counting down or comparing with the TSC (Intel SDM vol. 3, chapter 11). `Access` executes the accesses; on
// the host, tests put registers of their own behind it, because the software CPU that the machine tests run
// on has neither x2APIC nor the TSC deadline.
#pragma once

#include <cstdint>

namespace torii::hw {

enum class ApicRegister : uint16_t {  // offsets in memory; divided by 16, beyond 0x800, the MSR
    kId = 0x20,
    kTaskPriority = 0x80,
    kEndOfInterrupt = 0xb0,
    kSpurious = 0xf0,
    kCommand = 0x300,
    kCommandHigh = 0x310,  // by memory only
    kTimer = 0x320,
    kThermal = 0x330,
    kPerformance = 0x340,
    kLint0 = 0x350,
    kLint1 = 0x360,
    kError = 0x370,
    kInitialCount = 0x380,
    kCurrentCount = 0x390,
    kDivide = 0x3e0,
};

struct ApicVectors {
    uint8_t timer;
    uint8_t spurious;
};

// Access: uint32_t read_memory(unsigned offset), void write_memory(unsigned offset, uint32_t value),
//         uint64_t read_msr(uint32_t msr), void write_msr(uint32_t msr, uint64_t value), void fence() (all
//         accesses before it come before all behind it, MSRs too).
template <class Access>
class LocalApic {
public:
    static constexpr uint32_t kDeliverNmi = 4u << 8, kDeliverInit = 5u << 8, kDeliverStartup = 6u << 8;
    static constexpr uint32_t kAssert = 1u << 14;
    static constexpr uint32_t kMsrBase = 0x1b;
    static constexpr uint32_t kMsrDeadline = 0x6e0;
    static constexpr uint32_t kMostOfXapic =
        255;  // its ids have eight bits, of which this one names all CPUs

    constexpr explicit LocalApic(Access access = {}) : access_(access) {}

    // What the CPUs can do; the same for all, before the first enable(). Firmware that has x2APIC on already
    // leaves no choice.
    void choose(bool x2apic, bool tsc_deadline) {
        constexpr uint64_t kExtended = 1u << 10;
        wide_ = x2apic || (access_.read_msr(kMsrBase) & kExtended) != 0;
        deadline_ = tsc_deadline;
    }
    [[nodiscard]] bool is_x2apic() const { return wide_; }
    [[nodiscard]] bool uses_deadline() const { return deadline_; }
    // Whether a CPU with this id can be sent anything.
    [[nodiscard]] bool reaches(uint32_t apic_id) const { return wide_ || apic_id < kMostOfXapic; }

    // On each CPU. The mode changes by one step at a time: off, xAPIC, x2APIC (section 11.12.5).
    void enable(ApicVectors vectors) {
        constexpr uint64_t kEnable = 1u << 11, kExtended = 1u << 10;
        access_.write_msr(kMsrBase, access_.read_msr(kMsrBase) | kEnable);
        if (wide_) access_.write_msr(kMsrBase, access_.read_msr(kMsrBase) | kExtended);
        write(ApicRegister::kTaskPriority, 0);
        write(ApicRegister::kLint0, kMasked);
        write(ApicRegister::kLint1, kDeliverNmi);
        write(ApicRegister::kThermal, kMasked);
        write(ApicRegister::kPerformance, kMasked);
        write(ApicRegister::kError, kMasked);
        constexpr uint32_t kSoftwareEnable = 0x100;
        write(ApicRegister::kSpurious, kSoftwareEnable | vectors.spurious);
        constexpr uint32_t kDivideBy1 = 0xb, kComparesTsc = 2u << 17;
        if (!deadline_) write(ApicRegister::kDivide, kDivideBy1);
        write(ApicRegister::kTimer, vectors.timer | (deadline_ ? kComparesTsc : 0));
        // By memory, the mode could be set behind the first deadline (section 11.5.4.1).
        if (deadline_ && !wide_) access_.fence();
    }

    [[nodiscard]] uint32_t id() const {
        const uint32_t value = read(ApicRegister::kId);
        return wide_ ? value : value >> 24;
    }
    void end_of_interrupt() { write(ApicRegister::kEndOfInterrupt, 0); }

    // Fixed vectors are commands too: the vector alone. A write of an MSR does not wait for stores before it,
    // so what the other CPU is to find is fenced.
    void send(uint32_t target, uint32_t command) {
        if (wide_) {
            access_.fence();
            access_.write_msr(msr_of(ApicRegister::kCommand), uint64_t{target} << 32 | command);
            return;
        }
        constexpr uint32_t kDeliveryPending = 1u << 12;
        while ((read(ApicRegister::kCommand) & kDeliveryPending) != 0) {
        }
        write(ApicRegister::kCommandHigh, target << 24);
        write(ApicRegister::kCommand, command);
    }

    // The timer, counting down at `divide by 1`; 0 stops it.
    void set_count(uint32_t ticks) { write(ApicRegister::kInitialCount, ticks); }
    [[nodiscard]] uint32_t current_count() const { return read(ApicRegister::kCurrentCount); }
    // The timer, comparing with the TSC; 0 stops it. One that has passed comes at once.
    void set_deadline(uint64_t tsc) { access_.write_msr(kMsrDeadline, tsc); }

    [[nodiscard]] uint32_t read(ApicRegister which) const {
        if (wide_) return static_cast<uint32_t>(access_.read_msr(msr_of(which)));
        return access_.read_memory(static_cast<unsigned>(which));
    }
    void write(ApicRegister which, uint32_t value) {
        if (wide_) {
            access_.write_msr(msr_of(which), value);
        } else {
            access_.write_memory(static_cast<unsigned>(which), value);
        }
    }

private:
    static constexpr uint32_t kMasked = 1u << 16;
    static constexpr uint32_t msr_of(ApicRegister which) {
        return 0x800 + (static_cast<uint32_t>(which) >> 4);
    }

    bool wide_ = false;
    bool deadline_ = false;
    Access access_;
};

}  // namespace torii::hw
