// A control domain that does anything to its devices, devices that send at any time: what comes is told to
// whom it belongs, and the hypervisor never loses its way.
#include <random>
#include <set>

#include "core/interrupt/config_ports.h"
#include "core/interrupt/guarded_stores.h"
#include "unit/core/interrupt/device_world.h"

namespace torii::test {
namespace {

using fakes::PciFunction;

constexpr DomId kControl{0};
constexpr PciAddress kDevices[] = {{0, 0x18}, {0, 0x20}, {1, 0x00}};
constexpr unsigned kEntries = 6;

class DeviceModel : public DeviceWorld {
protected:
    void SetUp() override {
        DeviceWorld::SetUp();
        functions_[0] = &fakes::devices().add(kDevices[0], {.msix_entries = kEntries, .table_bar = kBar});
        functions_[1] = &fakes::devices().add(
            kDevices[1], {.msi_messages = 8, .msix_entries = kEntries, .table_bar = kBar + 0x1000});
        functions_[2] =
            &fakes::devices().add(kDevices[2], {.msi_messages = 4, .msi_wide = false, .msi_masks = false});
    }

    unsigned pick(unsigned below) { return static_cast<unsigned>(random_() % below); }
    uint32_t some_pirq() {
        return pick(4) != 0 ? device_interrupts.lines() + pick(24) : pick(device_interrupts.lines() + 1);
    }
    Port some_port() { return Port(1 + pick(40)); }
    [[nodiscard]] bool is_mapped(uint32_t pirq) const {
        return device_interrupts.find(pirq) != nullptr && device_interrupts.find(pirq)->is_mapped;
    }

    void map() {
        abi::PhysdevMapPirq request{};
        const PciAddress device = kDevices[pick(3)];
        request.domid = abi::kDomIdSelf;
        request.type = static_cast<int32_t>(pick(6));
        request.index = static_cast<int32_t>(pick(30)) - 1;
        request.pirq = pick(4) == 0 ? request.index : -1;
        request.bus = device.bus;
        request.devfn = device.devfn;
        request.entry_nr = static_cast<int32_t>(pick(kEntries + 2));
        request.table_base = pick(2) * kBar.raw();
        (void)physdev(abi::PhysdevOp::kMapPirq, &request);
    }
    void bind_some() {
        abi::EventBindPirq request{some_pirq(), 0, 0};
        (void)call(control(), abi::Hypercall::kEventChannelOp,
                   {static_cast<uint64_t>(abi::EventChannelOp::kBindPirq), address(&request)});
    }
    void configure() {
        if (pick(2) == 0) {
            write_config_filtered(kDevices[pick(3)], PciFunction::kMsi + 2, 2, 1);
            return write_config_filtered(kDevices[pick(2)], PciFunction::kMsix + 2, 2, 0x8000);
        }
        const unsigned width = 1u << pick(3);
        const unsigned reg = pick(3) == 0 ? pick(256) : PciFunction::kMsi + pick(0x40);
        // Not where the BARs lie: the devices stay where they are.
        if (reg / 4 * 4 >= 0x10 && reg / 4 * 4 < 0x28) return;
        write_config_filtered(kDevices[pick(3)], reg & ~(width - 1), width, static_cast<uint32_t>(random_()));
    }
    void store() {
        const unsigned width = 1u << pick(4);
        const uint64_t offset = pick(2) * 0x1000 + pick(kEntries * 16);
        write_guarded(MachineAddr((kBar.raw() + offset) & ~uint64_t{width - 1}), width, random_());
    }
    void operate() {
        abi::PhysdevSetupGsi setup{static_cast<int32_t>(pick(26)), static_cast<uint8_t>(pick(2)),
                                   static_cast<uint8_t>(pick(2)), 0};
        abi::PhysdevEoi end{some_pirq()};
        abi::PhysdevUnmapPirq unmap{abi::kDomIdSelf, 0, static_cast<int32_t>(some_pirq())};
        abi::PhysdevRestoreMsi restore{kDevices[0].bus, kDevices[0].devfn};
        switch (pick(12)) {
            case 0:
            case 1:
                return map();
            case 2:
            case 3:
                return bind_some();
            case 4:
                (void)control().events.close(some_port());
                return;
            case 5:
                (void)physdev(abi::PhysdevOp::kUnmapPirq, &unmap);
                return;
            case 6:
                (void)physdev(abi::PhysdevOp::kSetupGsi, &setup);
                return;
            case 7:
                (void)physdev(abi::PhysdevOp::kEoi, &end);
                return;
            case 8:
                (void)physdev(abi::PhysdevOp::kRestoreMsi, &restore);
                return;
            case 9:
                fakes::Machine::set_current(&vcpu(control()), CpuId(pick(fakes::kFakeCpus)));
                pass(10'000'000);
                return;
            case 10:
                return configure();
            default:
                return store();
        }
    }

    // The interrupt that a device's message is, or null.
    static const Interrupt* owner_of(PciAddress device, MessageKind kind, unsigned index) {
        for (uint32_t pirq = device_interrupts.lines(); pirq < DeviceInterrupts::end(); ++pirq) {
            const Interrupt* const interrupt = device_interrupts.find(pirq);
            if (interrupt == nullptr || !interrupt->is_mapped || interrupt->place.device != device ||
                interrupt->place.kind != kind)
                continue;
            const bool same = kind == MessageKind::kMsi
                                  ? interrupt->place.index == index
                                  : interrupt->place.entry == fakes::devices().find(device)->entry(index);
            if (same) return interrupt;
        }
        return nullptr;
    }
    // What a device sends at this moment is told to who bound it, once, and to nobody else.
    void send() {
        const unsigned device = pick(3), index = pick(kEntries);
        const auto kind = pick(2) == 0 ? MessageKind::kMsi : MessageKind::kMsiX;
        if (kind == MessageKind::kMsiX && device == 2) return;
        const std::set<uint32_t> before = pending();
        PciFunction& function = *functions_[device];
        if (!(kind == MessageKind::kMsi ? function.send_msi(index) : function.send_msix(index))) return;
        ++sent_;
        std::set<uint32_t> expected = before;
        const Interrupt* const owner = owner_of(kDevices[device], kind, index);
        ASSERT_NE(owner, nullptr) << "it was sent, and nobody had set it up";
        if (owner->listener != nullptr) expected.insert(owner->pirq);
        EXPECT_EQ(pending(), expected);
        if (pick(2) == 0) control().shared_info->evtchn_pending[0] = 0;
    }
    // PIRQs of the ports that have an event.
    std::set<uint32_t> pending() {
        std::set<uint32_t> found;
        abi::EventStatus status{};
        for (uint32_t port = 1; port < 64; ++port) {
            if (!control().events.status(Port(port), status).ok()) continue;
            if (static_cast<abi::EventStatusKind>(status.status) == abi::EventStatusKind::kPirq &&
                (control().shared_info->evtchn_pending[0] >> port & 1) != 0)
                found.insert(status.u.pirq);
        }
        return found;
    }

    // A storm on one of the lines: each arrival is ended at once.
    void storm() {
        const uint32_t number = pick(fakes::Devices::kLines);
        abi::PhysdevEoi end{number};
        for (unsigned i = 0; i <= StormGuard::kMost; ++i) {
            fakes::devices().pulse(number);
            (void)physdev(abi::PhysdevOp::kEoi, &end);
        }
        held_back_ += waits_for_timer(number) ? 1 : 0;
    }
    static bool waits_for_timer(uint32_t pirq) {
        const Interrupt* const interrupt = device_interrupts.find(pirq);
        return interrupt != nullptr && interrupt->held_back &&
               interrupt->trigger == Interrupt::Trigger::kLevel;
    }

    void check() {
        EXPECT_EQ(fakes::devices().lost, 0u);
        std::set<std::pair<uint32_t, unsigned>> vectors;
        for (uint32_t pirq = 0; pirq < DeviceInterrupts::end(); ++pirq) {
            const Interrupt* const interrupt = device_interrupts.find(pirq);
            if (interrupt == nullptr || !interrupt->is_mapped || interrupt->vector == 0) continue;
            EXPECT_TRUE(vectors.emplace(interrupt->cpu.raw(), interrupt->vector).second) << "a vector of two";
            if (interrupt->kind == Interrupt::Kind::kLine) {
                EXPECT_EQ(line(pirq).route.vector, interrupt->vector);
                EXPECT_EQ(line(pirq).route.cpu, interrupt->cpu);
                EXPECT_EQ(line(pirq).masked,
                          interrupt->listener == nullptr || interrupt->in_service || waits_for_timer(pirq))
                    << pirq;
            } else if (interrupt->place.kind == MessageKind::kMsiX) {
                const auto& memory = fakes::devices().memory;
                EXPECT_EQ(memory.at(interrupt->place.entry.raw()), 0xfee00000 | interrupt->cpu.raw() << 12);
                EXPECT_EQ(memory.at(interrupt->place.entry.raw() + 8), interrupt->vector);
                EXPECT_EQ((memory.at(interrupt->place.entry.raw() + 12) & 1) != 0,
                          interrupt->listener == nullptr || interrupt->masked_by_domain);
            } else if (interrupt->place.index == 0) {
                const PciFunction& function = *fakes::devices().find(interrupt->place.device);
                EXPECT_EQ(function.read(PciFunction::kMsi + 4, 4), 0xfee00000 | interrupt->cpu.raw() << 12);
            }
        }
        for (unsigned number = 0; number < fakes::Devices::kLines; ++number)
            EXPECT_TRUE(line(number).masked || is_mapped(number)) << "line " << number << " is nobody's";
        for (unsigned i = 1; i < 3; ++i)
            EXPECT_TRUE(!functions_[i]->msi_enabled() ||
                        device_interrupts.has_messages(kDevices[i], MessageKind::kMsi));
    }

    std::mt19937_64 random_{20261126};
    PciFunction* functions_[3]{};
    unsigned sent_ = 0;
    unsigned held_back_ = 0;
};

TEST_F(DeviceModel, AnythingInAnyOrder) {
    for (int step = 0; step < 60'000 && !HasFailure(); ++step) {
        operate();
        send();
        if (pick(64) == 0) storm();
        fakes::devices().assert_line(pick(fakes::Devices::kLines));
        check();
    }
    EXPECT_GT(sent_, 1000u);
    EXPECT_GT(held_back_, 20u);
    for (uint32_t port = 1; port < 64; ++port) {
        abi::EventStatus status{};
        if (control().events.status(Port(port), status).ok() &&
            static_cast<abi::EventStatusKind>(status.status) == abi::EventStatusKind::kPirq)
            (void)control().events.close(Port(port));
    }
    device_interrupts.unmap_all(kControl);
    check();
}

}  // namespace
}  // namespace torii::test
