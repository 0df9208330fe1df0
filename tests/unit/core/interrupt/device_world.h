// A control domain with devices: what they send, and what it sees of that.
#pragma once

#include <torii/abi/event_channel.h>
#include <torii/abi/physdev.h>

#include "core/interrupt/interrupts.h"
#include "core/memory/io_frames.h"
#include "core/sched/scheduler.h"
#include "fakes/fake_devices.h"
#include "fakes/fake_machine.h"
#include "port/machine.h"
#include "unit/core/call/call_world.h"

namespace torii::test {

inline constexpr PciAddress kDevice{0, 0x18};
// Beyond all RAM of the fake machine.
inline constexpr MachineAddr kBar{0xf000'0000};

class DeviceWorld : public CallWorld {
protected:
    void SetUp() override {
        CallWorld::SetUp();
        fakes::devices().clear();
        if (device_interrupts.lines() == 0) {
            ASSERT_TRUE(device_interrupts.start().ok());
        }
        control().events.limit_pirqs(DeviceInterrupts::end());
    }
    void TearDown() override {
        device_interrupts.unmap_all(control().id);
        for (const Port port : ports_)
            (void)control().events.close(port);
        for (const uint32_t of : {0x18u, 0x20u, 0x100u})
            (void)guard_io_range({{}, 0, IoGuard::kMessageTable, of});  // ENOSPC: there was none
        fakes::devices().clear();
        // Vectors that interrupts have moved away from are free again after a time.
        pass(VectorSpace::kLingers + 1'000'000);
        CallWorld::TearDown();
    }

    // Time goes by, and on every CPU the timers that are due by then fire.
    static void pass(Nanoseconds by) {
        fakes::machine().advance(by);
        Vcpu* const vcpu = current_vcpu();
        const CpuId here = this_cpu();
        for (unsigned cpu = 0; cpu < fakes::kFakeCpus; ++cpu) {
            fakes::Machine::set_current(nullptr, CpuId(cpu));
            cpu_scheduler(CpuId(cpu)).timers.expire(now());
        }
        fakes::Machine::set_current(vcpu, here);
    }
    // The port of an interrupt that the control domain binds from now on.
    Port bind(uint32_t pirq) {
        abi::EventBindPirq request{pirq, 0, 0};
        EXPECT_EQ(call(control(), abi::Hypercall::kEventChannelOp,
                       {static_cast<uint64_t>(abi::EventChannelOp::kBindPirq), address(&request)}),
                  0);
        ports_.emplace_back(request.port);
        return ports_.back();
    }
    // Whether the event came since the last time.
    bool take_event(Port port) {
        uint64_t& word = control().shared_info->evtchn_pending[port.raw() / 64];
        const uint64_t bit = uint64_t{1} << (port.raw() % 64);
        const bool came = (word & bit) != 0;
        word &= ~bit;
        return came;
    }
    int64_t physdev(abi::PhysdevOp op, void* request) {
        return call(control(), abi::Hypercall::kPhysdevOp, {static_cast<uint64_t>(op), address(request)});
    }
    fakes::PciFunction& add_msix(unsigned entries = 8) {
        return fakes::devices().add(kDevice,
                                    {.msix_entries = entries, .table_bar = kBar, .table_offset = 0x800});
    }
    static fakes::Line& line(uint32_t number) { return fakes::devices().lines[number]; }

private:
    std::vector<Port> ports_;
};

}  // namespace torii::test
