// Anything in any order, and the state recounted; nobody starves.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "unit/core/sched/simulation.h"

namespace torii::test {
namespace {

// TORII_SCHED_DECISIONS asks for a longer run.
uint64_t decisions_wanted() {
    const char* const wish = std::getenv("TORII_SCHED_DECISIONS");
    return wish != nullptr ? std::strtoull(wish, nullptr, 10) : 1'000'000;
}

Simulation::Program random_program(std::mt19937& random) {
    if (random() % 3 == 0) return computes();
    const Nanoseconds longest_run = 10 + random() % 15000;
    const Nanoseconds longest_sleep = random() % 20000;
    return [&random, longest_run, longest_sleep] {
        return Simulation::Step{(1 + random() % longest_run) * kMicrosecond,
                                longest_sleep == 0 ? 0 : random() % longest_sleep * kMicrosecond};
    };
}

TEST(RandomTest, NobodyStarvesUnderRandomLoads) {
    uint64_t left = decisions_wanted();
    for (uint32_t seed = 0; left != 0; ++seed) {
        std::mt19937 random(seed);
        const unsigned cpus = 1 + random() % 8;
        Simulation s(cpus, [](unsigned i) { return CpuPlace{i / 2, i / 4}; });
        const unsigned count = cpus + random() % 24;
        for (unsigned i = 0; i < count; ++i)
            s.add(random_program(random), 64u << random() % 5);
        // The lightest have a four-hundredth of a CPU: 10 ms of it come within four seconds, give or take.
        for (int period = 0; period < 6; ++period) {
            std::vector<Nanoseconds> before;
            for (const auto& guest : s.guests)
                before.push_back(guest->ran());
            s.run_for(8 * kSecond);
            for (size_t i = 0; i < s.guests.size(); ++i)
                EXPECT_GT(s.guests[i]->ran(), before[i]) << "seed " << seed << " guest " << i;
        }
        left -= std::min(left, machine.decisions);
    }
}

class Chaos {
public:
    explicit Chaos(uint32_t seed)
        : random_(seed), cpus_(2 + random_() % 7), s_(cpus_, [](unsigned i) {
              return CpuPlace{i / 2, i / 4};
          }) {
        for (int i = 0; i < 3; ++i)
            groups_.push_back(&s_.new_group(64u << random_() % 5));
        const unsigned count = 1 + random_() % (3 * cpus_);
        for (unsigned i = 0; i < count; ++i) {
            s_.add_to(*groups_[random_() % 3], random_program(random_));
            pauses_.push_back(0);
        }
    }
    void step() {
        const size_t i = random_() % s_.guests.size();
        SchedUnit& unit = s_.guests[i]->unit;
        s_.on(random_() % cpus_, [&] { act(random_() % 10, i, unit); });
        s_.deliver();
        s_.run_for(random_() % 3000 * kMicrosecond);
        s_.audit(2 * kSlice);
    }

private:
    void act(unsigned what, size_t i, SchedUnit& unit) {
        const LockGuard guard(cpu_pools_lock);
        Affinity affinity(unit);
        CpuMask mask;
        mask.set_word(0, random_() & ((1u << cpus_) - 1));
        switch (what) {
            case 0:
                if (affinity.check(mask, true).ok()) affinity.set_hard(mask);
                return;
            case 1:
                if (affinity.check(mask, false).ok()) affinity.set_soft(mask);
                return;
            case 2:
                (void)affinity.pin(CpuId(random_() % cpus_)).ok();
                return;
            case 3:
                return affinity.unpin();
            case 4:
                sched_pause(unit);
                ++pauses_[i];
                return;
            case 5:
            case 6:
                if (pauses_[i] == 0) return;
                sched_unpause(unit);
                --pauses_[i];
                return;
            case 7:
                return groups_[random_() % 3]->set_weight(1 + random_() % 2000);
            case 8:
                return groups_[random_() % 3]->set_cap(random_() % 2 == 0 ? 0 : random_() % 300);
            default:
                return sched_wake(unit);
        }
    }
    std::mt19937 random_;
    const unsigned cpus_;
    Simulation s_;
    std::vector<SchedGroup*> groups_;
    std::vector<unsigned> pauses_;
};

TEST(RandomTest, TheStateHoldsWhateverHappens) {
    for (uint32_t seed = 0; seed < 40 && !::testing::Test::HasFailure(); ++seed) {
        SCOPED_TRACE(seed);
        Chaos chaos(seed);
        for (int i = 0; i < 500 && !::testing::Test::HasFailure(); ++i)
            chaos.step();
    }
}

}  // namespace
}  // namespace torii::test
