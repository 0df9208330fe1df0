// Random operations on several domains, against a model of what ports are.
#include <gtest/gtest.h>

#include <random>

#include "unit/core/event/event_world.h"

namespace torii::test {
namespace {

struct ModelPort {
    abi::EventStatusKind kind = abi::EventStatusKind::kClosed;
    uint32_t domain = 0;  // unbound, interdomain
    uint32_t number = 0;  // interdomain: port; VIRQ; PIRQ
    uint32_t vcpu = 0;
    bool pending = false;
    bool masked = false;
};

constexpr unsigned kDomains = 3;
constexpr unsigned kVcpus = 2;
constexpr uint32_t kHighest = 150;
constexpr uint32_t kPirqs = 4;

using Kind = abi::EventStatusKind;
using Answer = std::pair<Errno, uint32_t>;  // error, or Errno{} and the port

struct Model {
    std::array<std::array<ModelPort, kHighest + 1>, kDomains> ports;

    Answer allocate(unsigned d, ModelPort what) {
        for (uint32_t i = 1; i <= kHighest; ++i) {
            if (ports[d][i].kind != Kind::kClosed) continue;
            what.masked = ports[d][i].masked;
            ports[d][i] = what;
            return {Errno{}, i};
        }
        return {Errno::kENOSPC, 0};
    }
    bool bound(unsigned d, Kind kind, uint32_t number, int vcpu) {
        for (const ModelPort& p : ports[d]) {
            if (p.kind == kind && p.number == number && (vcpu < 0 || p.vcpu == static_cast<uint32_t>(vcpu)))
                return true;
        }
        return false;
    }
    Answer bind_interdomain(unsigned d, unsigned remote, uint32_t port) {
        if (port > kHighest) return {Errno::kEINVAL, 0};
        ModelPort& other = ports[remote][port];
        if (other.kind != Kind::kUnbound || other.domain != d) return {Errno::kEINVAL, 0};
        const Answer answer = allocate(d, {Kind::kInterdomain, remote, port, 0, true, false});
        if (answer.second != 0) {
            other.kind = Kind::kInterdomain;
            other.number = answer.second;
        }
        return answer;
    }
    Answer bind_virq(unsigned d, uint32_t virq, uint32_t vcpu) {
        if (virq >= 24) return {Errno::kEINVAL, 0};
        const bool global = virq != 0 && virq != 1 && virq != 7 && virq != 13;
        if (global && vcpu != 0) return {Errno::kEINVAL, 0};
        if (vcpu >= kVcpus) return {Errno::kENOENT, 0};
        if (bound(d, Kind::kVirq, virq, global ? -1 : static_cast<int>(vcpu))) return {Errno::kEEXIST, 0};
        return allocate(d, {Kind::kVirq, 0, virq, vcpu, false, false});
    }
    Answer bind_pirq(unsigned d, uint32_t pirq) {
        if (pirq >= kPirqs) return {Errno::kEINVAL, 0};
        if (bound(d, Kind::kPirq, pirq, -1)) return {Errno::kEEXIST, 0};
        return allocate(d, {Kind::kPirq, 0, pirq, 0, false, false});
    }
    Answer close(unsigned d, uint32_t port) {
        if (port > kHighest || ports[d][port].kind == Kind::kClosed) return {Errno::kEINVAL, 0};
        ModelPort& p = ports[d][port];
        if (p.kind == Kind::kInterdomain) {
            ModelPort& other = ports[p.domain][p.number];
            other = {Kind::kUnbound, d, 0, other.vcpu, other.pending, other.masked};
        }
        p = {.masked = p.masked};
        return {};
    }
    Answer send(unsigned d, uint32_t port) {
        if (port > kHighest) return {Errno::kEINVAL, 0};
        ModelPort& p = ports[d][port];
        if (p.kind == Kind::kInterdomain) ports[p.domain][p.number].pending = true;
        if (p.kind == Kind::kIpi) p.pending = true;
        const bool allowed = p.kind == Kind::kInterdomain || p.kind == Kind::kIpi || p.kind == Kind::kUnbound;
        return {allowed ? Errno{} : Errno::kEINVAL, 0};
    }
    Answer bind_vcpu(unsigned d, uint32_t port, uint32_t vcpu) {
        if (vcpu >= kVcpus) return {Errno::kENOENT, 0};
        if (port > kHighest) return {Errno::kEINVAL, 0};
        ModelPort& p = ports[d][port];
        const bool local_virq = p.number == 0 || p.number == 1 || p.number == 7 || p.number == 13;
        const bool fixed =
            p.kind == Kind::kClosed || p.kind == Kind::kIpi || (p.kind == Kind::kVirq && local_virq);
        if (fixed) return {Errno::kEINVAL, 0};
        p.vcpu = vcpu;
        return {};
    }
};

template <class T>
Answer answer(Result<T> result) {
    if (!result.ok()) return {result.error(), 0};
    if constexpr (std::is_void_v<T>) {
        return {};
    } else {
        return {Errno{}, result.value().raw()};
    }
}

struct World {
    Model model;
    std::vector<std::unique_ptr<TestDomain>> real;

    explicit World(bool fifo) {
        for (uint16_t d = 0; d < kDomains; ++d) {
            real.push_back(std::make_unique<TestDomain>(d, kVcpus));
            real[d]->table.limit_ports(kHighest);
            real[d]->table.limit_pirqs(kPirqs);
            if (fifo) real[d]->use_fifo();
        }
    }

    void step(std::mt19937& random) {
        auto below = [&random](uint32_t n) { return static_cast<uint32_t>(random() % n); };
        const unsigned d = below(kDomains), r = below(kDomains);
        const uint32_t port = below(20) == 0 ? random() : below(kHighest + 1), vcpu = below(kVcpus + 1);
        EventTable& table = real[d]->table;
        switch (below(10)) {
            case 0:
            case 1:
                EXPECT_EQ(answer(table.alloc_unbound(DomId(static_cast<uint16_t>(r)))),
                          model.allocate(d, {Kind::kUnbound, r, 0, 0, false, false}));
                break;
            case 2:
            case 3:
                EXPECT_EQ(answer(table.bind_interdomain(real[r]->table, Port(port))),
                          model.bind_interdomain(d, r, port));
                break;
            case 4:
                EXPECT_EQ(answer(table.bind_virq(port % 26, vcpu)), model.bind_virq(d, port % 26, vcpu));
                break;
            case 5:
                EXPECT_EQ(answer(table.bind_ipi(vcpu)),
                          vcpu >= kVcpus ? Answer(Errno::kENOENT, 0)
                                         : model.allocate(d, {Kind::kIpi, 0, 0, vcpu, false, false}));
                break;
            case 6:
                EXPECT_EQ(answer(table.bind_pirq(port % (kPirqs + 1))),
                          model.bind_pirq(d, port % (kPirqs + 1)));
                break;
            case 7:
                EXPECT_EQ(answer(table.bind_vcpu(Port(port), vcpu)), model.bind_vcpu(d, port, vcpu));
                break;
            case 8:
                EXPECT_EQ(answer(table.send(Port(port))), model.send(d, port));
                break;
            default:
                EXPECT_EQ(answer(table.close(Port(port))), model.close(d, port));
                break;
        }
    }

    void compare() {
        for (unsigned d = 0; d < kDomains; ++d) {
            uint32_t in_use = 0;
            for (uint32_t port = 1; port <= kHighest; ++port) {
                const ModelPort& want = model.ports[d][port];
                abi::EventStatus is{};
                if (!real[d]->table.status(Port(port), is).ok()) is = {};  // its page was never made
                in_use += want.kind != Kind::kClosed;
                ASSERT_EQ(is.status, static_cast<uint32_t>(want.kind)) << d << ":" << port;
                if (want.kind != Kind::kClosed) {
                    ASSERT_EQ(is.vcpu, want.vcpu);
                    ASSERT_EQ(real[d]->pending(port), want.pending) << d << ":" << port;
                }
                switch (want.kind) {
                    case Kind::kUnbound:
                        ASSERT_EQ(is.u.unbound.dom, want.domain);
                        break;
                    case Kind::kInterdomain:
                        ASSERT_EQ(is.u.interdomain.dom, want.domain);
                        ASSERT_EQ(is.u.interdomain.port, want.number);
                        break;
                    case Kind::kVirq:
                        ASSERT_EQ(is.u.virq, want.number);
                        break;
                    case Kind::kPirq:
                        ASSERT_EQ(is.u.pirq, want.number);
                        break;
                    default:
                        break;
                }
            }
            ASSERT_EQ(real[d]->table.ports_in_use(), in_use);
        }
    }
};

class EventModelTest : public ::testing::TestWithParam<bool> {};

TEST_P(EventModelTest, TheTablesDoWhatTheModelSays) {
    for (uint32_t seed = 0; seed < 8; ++seed) {
        event_log = {};
        event_log.record = false;
        std::mt19937 random(seed);
        {
            World world(GetParam());
            // In the FIFO layout nothing is masked and nobody consumes: all that differs is that a queued
            // port isn't reused, so there the guest takes everything off its queues before a port is chosen.
            for (int i = 0; i < 3000; ++i) {
                world.step(random);
                if (GetParam()) {
                    for (auto& domain : world.real) {
                        for (unsigned v = 0; v < kVcpus; ++v) {
                            for (const uint32_t port : domain->consume(v))
                                domain->set_pending(port, true);
                        }
                    }
                }
                world.compare();
                if (HasFatalFailure() || HasNonfatalFailure()) FAIL() << "seed " << seed << " step " << i;
            }
        }
        EXPECT_EQ(event_log.pages, 0);
        EXPECT_EQ(event_log.pinned, 0);
    }
}

INSTANTIATE_TEST_SUITE_P(Layouts, EventModelTest, ::testing::Bool());

}  // namespace
}  // namespace torii::test
