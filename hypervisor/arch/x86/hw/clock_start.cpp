// Runs at boot only.
#include "arch/x86/hw/acpi.h"
#include "arch/x86/hw/calibration.h"
#include "arch/x86/hw/clock.h"
#include "arch/x86/hw/paging.h"
#include "arch/x86/hw/registers.h"
#include "arch/x86/hw/rtc.h"
#include "base/log.h"
#include "base/panic.h"
#include "core/domain/time.h"

namespace torii::hw {

namespace {

constexpr uint16_t kPitChannel2 = 0x42, kPitCommand = 0x43, kPitGate = 0x61;

// The machine's clocks as the calibration wants them.
class MachineClocks {
public:
    MachineClocks() {
        if (clock_devices.hpet.raw() != 0) start_hpet(clock_devices.hpet);
        if (clock_devices.pm_timer_port != 0)
            pm_timer_ = {kFemtosecondsPerSecond / kPmTimerHz,
                         clock_devices.pm_timer_is_wide ? 0xffffffffu : 0xffffffu};
    }
    MachineClocks(const MachineClocks&) = delete;
    ~MachineClocks() {
        if (registers_ != nullptr) registers_[kHpetConfiguration / 4] = hpet_configuration_;
    }

    static uint64_t read_tsc() { return hw::read_tsc(); }
    static CpuidResult cpuid(uint32_t leaf) { return hw::cpuid(leaf); }
    [[nodiscard]] ReferenceClock clock(TimeSource source) const {
        return source == TimeSource::kHpet ? hpet_ : pm_timer_;
    }
    [[nodiscard]] uint64_t read(TimeSource source) const {
        if (source == TimeSource::kPmTimer) return in32(clock_devices.pm_timer_port);
        return registers_[kHpetCounter / 4];
    }
    static void pit_start(uint64_t ticks) {
        // Channel 2, mode 0, gated by port 0x61 bit 0, output seen in bit 5.
        out8(kPitGate, static_cast<uint8_t>((in8(kPitGate) & ~2u) | 1u));
        out8(kPitCommand, 0xb0);
        out8(kPitChannel2, ticks & 0xff);
        out8(kPitChannel2, static_cast<uint8_t>(ticks >> 8));
    }
    static bool pit_ended() { return (in8(kPitGate) & 0x20) != 0; }

private:
    // Registers of the HPET, section 2.3, by 32 bits: not all take reads of 64.
    static constexpr unsigned kHpetPeriod = 4, kHpetConfiguration = 0x10, kHpetCounter = 0xf0;
    static constexpr uint32_t kHpetEnable = 1;
    static constexpr uint32_t kLongestPeriod = 100'000'000;  // femtoseconds, by the specification

    void start_hpet(MachineAddr address) {
        auto* const registers = static_cast<volatile uint32_t*>(map_device(address, 0x100));
        const uint32_t period = registers[kHpetPeriod / 4];
        if (period == 0 || period > kLongestPeriod) return;
        registers_ = registers;
        hpet_configuration_ = registers_[kHpetConfiguration / 4];
        registers_[kHpetConfiguration / 4] = hpet_configuration_ | kHpetEnable;
        hpet_ = {period, 0xffffffff};
    }

    volatile uint32_t* registers_ = nullptr;
    uint32_t hpet_configuration_ = 0;
    ReferenceClock hpet_;
    ReferenceClock pm_timer_;
};

}  // namespace

void start_clock() {
    MachineClocks clocks;
    const TscRate rate = TscCalibration(clocks).measure();
    if (rate.khz == 0)
        BUG("no HPET, PM timer or PIT that runs, and no CPUID leaf 0x15 or 0x16: how fast the TSC runs is "
            "unknown");
    clock_facts.tsc_khz = rate.khz;
    clock_scale = make_clock_scale(rate.khz * 1000, read_tsc());
    log(LogLevel::kInfo, "TSC: {} kHz, {}", rate.khz, name_of(rate.source));
    if (clock_devices.no_rtc) {
        log(LogLevel::kWarning,
            "firmware says that there is no real-time clock: the time of day is dom0's to set");
        return;
    }
    clock_facts.boot_seconds = RealTimeClock([](uint8_t index) {
                                   out8(0x70, index);
                                   return in8(0x71);
                               }).seconds();
    if (clock_facts.boot_seconds == 0)
        log(LogLevel::kWarning, "the real-time clock holds no time: the time of day is dom0's to set");
}

}  // namespace torii::hw
