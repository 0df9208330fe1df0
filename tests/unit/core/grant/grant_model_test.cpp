// Random pins over several domains, recounted from scratch after each step; and the same from several
// threads.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <random>
#include <thread>
#include <vector>

#include "unit/core/grant/grant_world.h"

namespace torii::test {
namespace {

using abi::GrantStatus;

constexpr unsigned kDomains = 3;
constexpr uint32_t kRefs = 12;

struct Pin {
    unsigned owner;
    unsigned user;
    GrantRef ref;
    GrantAccess access;
    const Frame* frame;
    GrantTable::Pin held;
};

class World {
public:
    World() {
        for (unsigned i = 0; i < kDomains; ++i)
            domains.push_back(std::make_unique<GrantDomain>(static_cast<uint16_t>(i + 1)));
    }

    // Mostly entries that permit something, now and then garbage, also under entries in use.
    void rewrite_entry() {
        GrantDomain& owner = *domains[random() % kDomains];
        const GrantRef ref(random() % kRefs);
        const DomId user = domains[random() % kDomains]->id();
        const Mfn mfn =
            random() % 10 == 0 ? domains[random() % kDomains]->mfn(0) : owner.mfn(random() % owner.frames());
        uint16_t flags = abi::kGtfPermitAccess;
        if (random() % 3 == 0) flags |= abi::kGtfReadonly;
        if (random() % 10 == 0) flags = static_cast<uint16_t>(random());
        owner.grant(ref, user, mfn, flags);
    }

    void pin() {
        Pin pin{static_cast<unsigned>(random() % kDomains),
                static_cast<unsigned>(random() % kDomains),
                GrantRef(random() % (kRefs + 1)),
                random() % 2 == 0 ? GrantAccess::kRead : GrantAccess::kWrite,
                nullptr,
                {}};
        const GrantDomain& owner = *domains[pin.owner];
        const SharedGrantEntry before = owner.entry(pin.ref);
        const Mfn expected = frame_in_use(pin.owner, pin.ref, Mfn(before.frame));
        const bool permitted =
            permits(pin, before) && frame_exists(expected) && frame_at(expected).owner() == owner.id();
        const GrantStatus status =
            domains[pin.owner]->table.pin(pin.ref, domains[pin.user]->id(), pin.access, pin.held);
        ASSERT_EQ(status == GrantStatus::kOkay, permitted);
        if (!permitted) return;
        ASSERT_EQ(pin.held.frame(), &frame_at(expected));
        pin.frame = pin.held.frame();
        pins.push_back(pin);
        ++succeeded;
    }

    void unpin() {
        if (pins.empty()) return;
        const size_t index = random() % pins.size();
        const Pin pin = pins[index];
        pins.erase(pins.begin() + static_cast<ptrdiff_t>(index));
        // Both ways to say which.
        GrantTable& table = domains[pin.owner]->table;
        if (random() % 2 == 0) {
            GrantTable::unpin(pin.held, pin.access);
        } else {
            table.unpin(pin.ref, pin.access);
        }
        // Marks that no pin stands for are gone: an honest guest can take its grant back.
        bool in_use = false;
        bool writing = false;
        for (const Pin& other : pins) {
            if (other.owner != pin.owner || other.ref != pin.ref) continue;
            in_use = true;
            writing = writing || other.access == GrantAccess::kWrite;
        }
        const uint16_t flags = domains[pin.owner]->flags(pin.ref);
        if (!in_use) {
            ASSERT_EQ(flags & abi::kGtfReading, 0);
        }
        if (!writing) {
            ASSERT_EQ(flags & abi::kGtfWriting, 0);
        }
    }

    // Each frame's counts are its owner's reference and the pins, and nothing else.
    void recount() const {
        for (const auto& domain : domains) {
            for (uint32_t i = 0; i < domain->frames(); ++i) {
                uint64_t all = 0;
                uint64_t writing = 0;
                for (const Pin& pin : pins) {
                    if (pin.frame != &domain->frame(i)) continue;
                    ++all;
                    writing += pin.access == GrantAccess::kWrite;
                }
                ASSERT_EQ(references(domain->frame(i)), 1 + all);
                ASSERT_EQ(writers(domain->frame(i)), writing);
            }
        }
    }

    std::mt19937 random{7};
    std::vector<std::unique_ptr<GrantDomain>> domains;
    std::vector<Pin> pins;
    unsigned succeeded = 0;

private:
    bool permits(const Pin& pin, const SharedGrantEntry& entry) const {
        constexpr uint16_t kRefused = abi::kGtfPwt | abi::kGtfPcd | abi::kGtfPat | abi::kGtfSubPage;
        const auto flags = static_cast<uint16_t>(entry.flags_and_domid);
        for (const Pin& other : pins) {
            if (other.owner == pin.owner && other.ref == pin.ref && other.user != pin.user) return false;
        }
        return (flags & abi::kGtfTypeMask) == abi::kGtfPermitAccess && (flags & kRefused) == 0 &&
               DomId(static_cast<uint16_t>(entry.flags_and_domid >> 16)) == domains[pin.user]->id() &&
               (pin.access == GrantAccess::kRead || (flags & abi::kGtfReadonly) == 0);
    }
    Mfn frame_in_use(unsigned owner, GrantRef ref, Mfn otherwise) const {
        for (const Pin& pin : pins) {
            if (pin.owner == owner && pin.ref == ref) return mfn_of(*pin.frame);
        }
        return otherwise;
    }
};

TEST(GrantModel, RandomPinsKeepTheCounts) {
    World world;
    for (unsigned step = 0; step < 60'000; ++step) {
        const unsigned choice = world.random() % 100;
        const bool filling = step / 3000 % 2 == 0;
        if (choice < 25) {
            world.rewrite_entry();
        } else if (choice < (filling ? 75u : 45u)) {
            world.pin();
        } else {
            world.unpin();
        }
        if (testing::Test::HasFatalFailure()) return;
        if (step % 16 == 0) world.recount();
        if (testing::Test::HasFatalFailure()) return;
    }
    EXPECT_GT(world.succeeded, 3000u);
    while (!world.pins.empty())
        world.unpin();
    world.recount();
}

// Two users pin and unpin entries that the owner keeps rewriting; at the end every count is back.
TEST(GrantModel, RacingUsersAndAHostileOwner) {
    GrantDomain owner(1);
    std::atomic<bool> stop{false};
    std::atomic<unsigned> pinned{0};
    const auto use = [&](DomId user, unsigned seed) {
        std::mt19937 random(seed);
        while (!stop) {
            const GrantRef ref(random() % 4);
            const GrantAccess access = random() % 2 == 0 ? GrantAccess::kRead : GrantAccess::kWrite;
            GrantTable::Pin pin;
            if (owner.table.pin(ref, user, access, pin) != GrantStatus::kOkay) continue;
            EXPECT_GE(references(*pin.frame()), 2u);
            EXPECT_GE(writers(*pin.frame()), access == GrantAccess::kWrite ? 1u : 0u);
            GrantTable::unpin(pin, access);
            ++pinned;
        }
    };
    std::thread first(use, DomId(2), 11);
    std::thread second(use, DomId(2), 12);
    std::thread third(use, DomId(3), 13);
    std::mt19937 random(14);
    for (unsigned i = 0; i < 300'000 || (pinned < 1000 && i < 50'000'000); ++i) {
        owner.grant(GrantRef(random() % 4), DomId(static_cast<uint16_t>(2 + random() % 2)),
                    owner.mfn(random() % 8));
        if (i % 1000 == 0) std::this_thread::yield();
    }
    stop = true;
    first.join();
    second.join();
    third.join();
    EXPECT_GE(pinned.load(), 1000u);
    for (uint32_t i = 0; i < owner.frames(); ++i) {
        EXPECT_EQ(references(owner.frame(i)), 1u);
        EXPECT_EQ(writers(owner.frame(i)), 0u);
    }
}

std::atomic<unsigned> owner_turns{0};
std::atomic<unsigned> hold_ups{0};

// Runs as a signal: holds the thread up, wherever it is, until the owner has had its turn twice, or can't
// have it.
void hold_up(int) {
    const unsigned before = owner_turns.load();
    for (unsigned i = 0; i < 20'000 && owner_turns.load() < before + 2; ++i) {
    }
    hold_ups += owner_turns.load() >= before + 2;
}

// An owner that keeps to the protocol: it grants a frame, takes that back when it isn't in use, grants
// another to the same user through the same entry. While a pin lives the entry can't change, so it must name
// the frame that was pinned.
TEST(GrantModel, AnHonestOwnersFramesAreNeverMixedUp) {
    GrantDomain owner(1);
    const GrantRef ref(3);
    const DomId user(2);
    std::signal(SIGUSR1, hold_up);
    const pthread_t pinning = pthread_self();
    std::atomic<bool> stop{false};
    std::thread guest([&] {
        SharedGrantEntry& entry = owner.entry(ref);
        const uint32_t granted = uint32_t{user.raw()} << 16 | abi::kGtfPermitAccess;
        while (!stop) {
            const unsigned turn = ++owner_turns;
            owner.grant(ref, user, owner.mfn(turn % 8));
            if (turn % 4 == 0) pthread_kill(pinning, SIGUSR1);
            uint32_t seen = granted;
            while (!__atomic_compare_exchange_n(&entry.flags_and_domid, &seen, 0, false, __ATOMIC_ACQ_REL,
                                                __ATOMIC_RELAXED))
                seen = granted;
        }
    });
    unsigned pinned = 0;
    unsigned wrong = 0;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(6);
    for (unsigned attempt = 0; hold_ups < 3'000; ++attempt) {
        if (attempt % 1024 == 0 && std::chrono::steady_clock::now() > end) break;
        GrantTable::Pin pin;
        if (owner.table.pin(ref, user, GrantAccess::kRead, pin) != GrantStatus::kOkay) {
            if (attempt % 64 == 0) std::this_thread::yield();
            continue;
        }
        ++pinned;
        wrong += mfn_of(*pin.frame()).raw() != __atomic_load_n(&owner.entry(ref).frame, __ATOMIC_RELAXED);
        GrantTable::unpin(pin, GrantAccess::kRead);
    }
    stop = true;
    guest.join();
    std::signal(SIGUSR1, SIG_DFL);
    EXPECT_GT(pinned, 50u);  // a busy host gives the two threads few turns together
    EXPECT_EQ(wrong, 0u);
}

}  // namespace
}  // namespace torii::test
