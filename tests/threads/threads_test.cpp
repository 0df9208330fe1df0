// Hypercalls of several domains at once, on real threads under ThreadSanitizer: a control domain that builds
// and ends guests, and guests with two vCPUs each, on four CPUs that flush, wake and stop each other as on a
// machine (fakes/fake_cpus.h). What a vCPU calls is up to kit/random; most of it is valid when it is chosen,
// and may not be any more when it is called.
//
// Every few thousand operations all CPUs stand still between two, and a recount from scratch must agree with
// the frame table, with what is bound to what, and with what the CPUs remember.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "core/domain/vcpu_run.h"
#include "core/memory/reservation.h"
#include "fakes/fake_cpus.h"
#include "kit/random/world.h"

namespace torii::test {
namespace {

uint64_t from_environment(const char* name, uint64_t otherwise) {
    const char* const text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

using Counter = unsigned long long;

// All that the vCPUs share beside the hypervisor.
class Crowd {
public:
    explicit Crowd(uint64_t seed) : seed_(seed) {
        (void)fakes::machine();
        frames_before_ = RandomWorld::frames_there();
        for (uint16_t id = 0; id < SharedDomains::kSlots; ++id)
            add_domain(id);
    }

    void start() {
        fakes::start_cpus([this](Vcpu& vcpu) { live(vcpu); });
    }

    [[nodiscard]] uint64_t operations() const { return operations_.load(); }
    [[nodiscard]] const std::map<std::string, Tally>& tallies() const { return tallies_; }
    [[nodiscard]] uint64_t domains_ended() const { return domains_ended_; }

    // After the CPUs have stopped. True when every frame is back.
    bool end() {
        for (uint32_t id = 0;;) {
            Domain* const found = next_domain(DomId(static_cast<uint16_t>(id)));
            if (found == nullptr) break;
            const DomainRef domain(found);
            id = domain->id.raw() + 1u;
            while (destroy_domain(*domain).error() == Errno::kERESTART) {
            }
        }
        // Frames that others held are back with the last of those.
        const DomainRef left(next_domain(DomId(0)));
        return !left && RandomWorld::frames_there() == frames_before_;
    }

private:
    void add_domain(uint16_t id) {
        HostedDomain made(id, id, id == 0, RandomWorld::kFrames, {2, RandomWorld::kPorts - 1, 4, 4});
        Domain& domain = made.domain();
        domain.events.limit_pirqs(id == 0 ? 16 : 0);
        domain.dirty_cpus.clear();
        EXPECT_TRUE(create_vcpu(domain, VcpuId(1)).ok());
        made.vcpu().initialised = true;
        shared_.enter(id, domain.id, made.tables());
        start_vcpu(made.vcpu());
        unpause_domain(domain);
        made.forget();
    }

    // A vCPU's whole life.
    void live(Vcpu& vcpu) {
        RandomChooser chooser(seed_ * 1000 + lives_.fetch_add(1));
        RandomWorld world(chooser, shared_, vcpu);
        struct AtTheEnd {
            Crowd& crowd;
            RandomWorld& world;
            ~AtTheEnd() { crowd.add_up(world); }
        } at_the_end{*this, world};
        for (;;) {
            world.step();
            operations_.fetch_add(1, std::memory_order_relaxed);
            fakes::way_out(vcpu);
        }
    }

    void add_up(const RandomWorld& world) {
        const std::lock_guard guard(tally_lock_);
        for (const auto& [name, tally] : world.tallies) {
            tallies_[name].calls += tally.calls;
            tallies_[name].succeeded += tally.succeeded;
        }
        domains_ended_ += world.domains_ended;
    }

    const uint64_t seed_;
    uint64_t frames_before_ = 0;
    SharedDomains shared_;
    std::atomic<uint64_t> lives_{0};
    std::atomic<uint64_t> operations_{0};
    std::mutex tally_lock_;
    std::map<std::string, Tally> tallies_;
    uint64_t domains_ended_ = 0;
};

// Waits for so many operations in all. A crowd that doesn't move any more has a deadlock: then this ends the
// program, with every thread where it stands.
void wait_for(const Crowd& crowd, uint64_t operations) {
    constexpr auto kPatience = std::chrono::seconds(120);
    uint64_t seen = crowd.operations();
    auto since = std::chrono::steady_clock::now();
    while (crowd.operations() < operations) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        if (crowd.operations() != seen) {
            seen = crowd.operations();
            since = std::chrono::steady_clock::now();
        } else if (std::chrono::steady_clock::now() - since > kPatience) {
            std::fprintf(stderr, "nothing moves any more after %llu operations\n",
                         static_cast<Counter>(seen));
            std::abort();
        }
    }
}

void print(const Crowd& crowd) {
    for (const auto& [name, tally] : crowd.tallies()) {
        std::printf("%-30s %8llu calls, %8llu succeeded\n", name.c_str(), static_cast<Counter>(tally.calls),
                    static_cast<Counter>(tally.succeeded));
    }
    std::printf("%llu domains ended\n", static_cast<Counter>(crowd.domains_ended()));
}

// TORII_THREADS_OPERATIONS and TORII_THREADS_SEED set the length and the beginning of another run.
TEST(Threads, RecountAgreesWheneverAllStandStill) {
    constexpr uint64_t kBetweenRecounts = 500;
    const uint64_t operations = from_environment("TORII_THREADS_OPERATIONS", 250'000);
    const uint64_t seed = from_environment("TORII_THREADS_SEED", 2026);
    std::printf("%llu operations, seed %llu\n", static_cast<Counter>(operations), static_cast<Counter>(seed));
    Crowd crowd(seed);
    crowd.start();
    for (uint64_t done = 0; done < operations && !HasFailure();) {
        done += kBetweenRecounts;
        wait_for(crowd, done);
        fakes::hold_cpus();
        for (const std::string& finding : RandomWorld::findings())
            ADD_FAILURE() << finding << " (after " << crowd.operations() << " operations)";
        fakes::release_cpus();
    }
    fakes::stop_cpus();
    EXPECT_TRUE(crowd.end()) << "frames are lost, or a domain";
    print(crowd);
    EXPECT_GT(crowd.domains_ended(), 0u);
}

}  // namespace
}  // namespace torii::test
