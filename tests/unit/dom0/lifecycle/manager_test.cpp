// The life of domains, from creation to end, over restarts of the daemon.

#include <gtest/gtest.h>
#include <torii/abi/io/console.h>

#include "unit/dom0/kit/lifecycle_world.h"

namespace torii::dom0 {
namespace {

using test::FakeDomain;
using test::Killed;
using test::Lifecycle;

TEST_F(Lifecycle, CreateRunDestroy) {
    FakeDomain& domain = create("g1");
    ASSERT_TRUE(told_->done);
    EXPECT_EQ(told_->done->domid(), domain.id);
    EXPECT_FALSE(domain.paused);
    const std::string home = "/local/domain/" + std::to_string(domain.id);
    EXPECT_EQ(node(home + "/name"), "g1");
    EXPECT_EQ(node(home + "/memory/target"), std::to_string(8 << 10));
    EXPECT_EQ(node(home + "/cpu/0/availability"), "online");
    EXPECT_EQ(manager().info("g1").state(), v1::RUNNING);
    EXPECT_EQ(manager().info(std::to_string(domain.id)).name(), "g1");
    destroy("g1");
    EXPECT_TRUE(told_->done);
    expect_nothing_left();
    EXPECT_THROW(manager().info("g1"), Failure);
}

TEST_F(Lifecycle, NamesAreUniqueWhileInUse) {
    create("g1");
    try {
        ask_create(config("g1"));
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.code(), ErrorCode::kDomainExists);
    }
    EXPECT_THROW(manager().rename("g1", "bad name"), Failure);
    manager().rename("g1", "g2");
    EXPECT_EQ(manager().info("g2").name(), "g2");
    create("g1");
    EXPECT_THROW(manager().rename("g1", "g2"), Failure);
}

TEST_F(Lifecycle, FailedBuildLeavesNothing) {
    ask_create(config("g1"));
    daemon_->builders.back().failed(Failure(ErrorCode::kNoKernel, "no such kernel"));
    EXPECT_EQ(told_->failure, "no such kernel");
    expect_nothing_left();
}

TEST_F(Lifecycle, BuilderThatDiesLeavesNoDomain) {
    ask_create(config("g1"));
    fake_.add_domain(*parse_uuid(daemon_->requests.back().uuid()), 3);
    daemon_->builders.back().failed(Failure(ErrorCode::kInternal, "ended early"));
    EXPECT_EQ(told_->failure, "");  // told when the domain is gone
    daemon_->settle();
    EXPECT_EQ(told_->failure, "ended early");
    expect_nothing_left();
}

TEST_F(Lifecycle, OnlyTwoBuildersAtATime) {
    for (int i = 0; i < 4; i++)
        ask_create(config("g" + std::to_string(i)));
    EXPECT_EQ(daemon_->builders.size(), 2u);
    build();
    EXPECT_EQ(daemon_->builders.size(), 3u);
    EXPECT_EQ(manager().info("g3").building(), true);
    manager().cancel_creation(manager().info("g3").uuid());
    EXPECT_EQ(told_->failure, "the creation was cancelled");
    EXPECT_THROW(manager().info("g3"), Failure);
}

TEST_F(Lifecycle, PauseAndUnpause) {
    FakeDomain& domain = create(config("g1"), true);
    EXPECT_TRUE(domain.paused);
    EXPECT_THROW(manager().pause("g1"), Failure);
    EXPECT_THROW(manager().request_shutdown("g1", false), Failure);
    manager().unpause("g1");
    EXPECT_FALSE(domain.paused);
    EXPECT_THROW(manager().unpause("g1"), Failure);
    manager().pause("g1");
    restart_daemon();
    EXPECT_TRUE(domain.paused);
    EXPECT_EQ(manager().info("g1").state(), v1::PAUSED);
}

TEST_F(Lifecycle, ShutdownIsAskedOfGuestsThatListen) {
    FakeDomain& domain = create("g1");
    const std::string control = "/local/domain/" + std::to_string(domain.id) + "/control/";
    EXPECT_THROW(manager().request_shutdown("g1", false), Failure);
    daemon_->store.client().write(control + "feature-poweroff", "1");
    manager().request_shutdown("g1", false);
    EXPECT_EQ(node(control + "shutdown"), "poweroff");
    EXPECT_EQ(manager().info("g1").state(), v1::SHUTDOWN);
    guest_ends(domain, abi::ShutdownReason::kPoweroff);
    EXPECT_EQ(manager().info("g1").state(), v1::SHUTOFF);
    EXPECT_EQ(manager().info("g1").reason(), 1);
    expect_nothing_left();
}

TEST_F(Lifecycle, AShutdownForGoodIsTheEndWhateverTheDescriptionSays) {
    for (const auto action : {v1::END_RESTART, v1::END_PRESERVE}) {
        for (const auto reason :
             {abi::ShutdownReason::kPoweroff, abi::ShutdownReason::kReboot, abi::ShutdownReason::kCrash}) {
            v1::DomainConfig description = config("g1");
            description.set_on_poweroff(action);
            description.set_on_reboot(action);
            description.set_on_crash(action);
            FakeDomain& domain = create(description);
            const std::string control = "/local/domain/" + std::to_string(domain.id) + "/control/";
            daemon_->store.client().write(control + "feature-poweroff", "1");
            manager().request_shutdown("g1", false, true);
            restart_daemon();
            guest_ends(domain, reason);
            EXPECT_FALSE(manager().info("g1").active());
            EXPECT_FALSE(manager().info("g1").building());
            expect_nothing_left();
        }
    }
}

TEST_F(Lifecycle, MemoryTargetWithinLimits) {
    FakeDomain& domain = create("g1");
    manager().set_memory("g1", 6 << 10);
    EXPECT_EQ(node("/local/domain/" + std::to_string(domain.id) + "/memory/target"), std::to_string(6 << 10));
    EXPECT_EQ(manager().info("g1").target_memory_kib(), 6u << 10);
    EXPECT_THROW(manager().set_memory("g1", 9 << 10), Failure);
    EXPECT_THROW(manager().set_memory("g1", 1), Failure);
}

TEST_F(Lifecycle, CrashIsExplainedByTheHypervisorsLog) {
    FakeDomain& domain = create("g1");
    fake_.keeps_end_reasons = false;
    fake_.log =
        "(XEN) d77v0 other\n(XEN) d" + std::to_string(domain.id) + "v0 Unhandled: vec 14\n(XEN) more\n";
    guest_ends(domain, abi::ShutdownReason::kCrash);
    const v1::Domain info = manager().info("g1");
    EXPECT_EQ(info.state(), v1::SHUTOFF);
    EXPECT_EQ(info.reason(), 3);
    EXPECT_NE(info.explanation().find("Unhandled: vec 14"), std::string::npos);
    EXPECT_FALSE(info.active());
    // The name is free again.
    create("g1");
    EXPECT_EQ(manager().info("g1").state(), v1::RUNNING);
}

TEST_F(Lifecycle, CrashIsExplainedByTheHypervisorItself) {
    FakeDomain& domain = create("g1");
    domain.end_reason = "iret frame at 0x1000 is not readable";
    fake_.log = "(torii) d" + std::to_string(domain.id) + " killed: another's, long ago\n";
    guest_ends(domain, abi::ShutdownReason::kCrash);
    EXPECT_NE(manager().info("g1").explanation().find("iret frame at 0x1000"), std::string::npos);
    EXPECT_EQ(manager().info("g1").explanation().find("long ago"), std::string::npos);
    // One that says itself that it crashed.
    FakeDomain& second = create("g2");
    fake_.log = "(torii) d" + std::to_string(second.id) + " killed: another's, long ago\n";
    guest_ends(second, abi::ShutdownReason::kCrash);
    EXPECT_NE(manager().info("g2").explanation().find("panicked"), std::string::npos);
    expect_nothing_left();
}

TEST_F(Lifecycle, GarbageInTheConsoleRingEndsTheDomain) {
    FakeDomain& domain = create("g1");
    FakeDomain& other = create("g2");
    reinterpret_cast<abi::ConsoleRing*>(fake_.frame(domain.frames.at(1)))->out_prod = 0x80000000;
    daemon_->channels.signal(DomId(domain.id), Port(2));
    daemon_->settle();
    const v1::Domain info = manager().info("g1");
    EXPECT_EQ(info.state(), v1::SHUTOFF);
    EXPECT_EQ(info.reason(), 3);
    EXPECT_NE(info.explanation().find("console ring"), std::string::npos);
    EXPECT_EQ(fake_.domains.size(), 1u);
    EXPECT_EQ(manager().info("g2").state(), v1::RUNNING);
    EXPECT_FALSE(other.paused);
    destroy("g2");
    expect_nothing_left();
}

TEST_F(Lifecycle, GarbageInTheConsolesInputIndexIsNoticedToo) {
    FakeDomain& domain = create("g1");
    reinterpret_cast<abi::ConsoleRing*>(fake_.frame(domain.frames.at(1)))->in_cons = 77;
    daemon_->channels.signal(DomId(domain.id), Port(2));
    daemon_->settle();
    EXPECT_NE(manager().info("g1").explanation().find("console ring"), std::string::npos);
    expect_nothing_left();
}

TEST_F(Lifecycle, GarbageInTheXenstoreRingEndsTheDomain) {
    break_store_ring(create("g1"));
    daemon_->settle();
    EXPECT_EQ(manager().info("g1").state(), v1::SHUTOFF);
    EXPECT_NE(manager().info("g1").explanation().find("xenstore ring"), std::string::npos);
    expect_nothing_left();
}

TEST_F(Lifecycle, ADomainThatBrokeItsRingCanBePreserved) {
    v1::DomainConfig description = config("g1");
    description.set_on_crash(v1::END_PRESERVE);
    FakeDomain& domain = create(description);
    break_store_ring(domain);
    daemon_->settle();
    EXPECT_EQ(manager().info("g1").state(), v1::CRASHED);
    EXPECT_TRUE(domain.paused);
    restart_daemon();
    EXPECT_TRUE(domain.paused);
    EXPECT_EQ(manager().info("g1").state(), v1::CRASHED);
    EXPECT_NE(manager().info("g1").explanation().find("xenstore ring"), std::string::npos);
    destroy("g1");
    expect_nothing_left();
}

// Killed between noticing and recording, the next daemon notices again.
TEST_F(Lifecycle, ABrokenRingIsNoticedByTheNextDaemon) {
    break_store_ring(create("g1"));
    restart_daemon();
    EXPECT_EQ(manager().info("g1").state(), v1::SHUTOFF);
    EXPECT_NE(manager().info("g1").explanation().find("xenstore ring"), std::string::npos);
    expect_nothing_left();
}

TEST_F(Lifecycle, PreservedDomainsStayUntilDestroyed) {
    v1::DomainConfig description = config("g1");
    description.set_on_crash(v1::END_PRESERVE);
    FakeDomain& domain = create(description);
    guest_ends(domain, abi::ShutdownReason::kCrash);
    EXPECT_EQ(manager().info("g1").state(), v1::CRASHED);
    EXPECT_TRUE(manager().info("g1").active());
    restart_daemon();
    EXPECT_EQ(manager().info("g1").state(), v1::CRASHED);
    destroy("g1");
    expect_nothing_left();
}

TEST_F(Lifecycle, RebootStartsItAgain) {
    v1::DomainConfig description = config("g1");
    description.set_on_reboot(v1::END_RESTART);
    FakeDomain& domain = create(description);
    const uint16_t first = domain.id;
    guest_ends(domain, abi::ShutdownReason::kReboot);
    EXPECT_TRUE(manager().info("g1").building());
    FakeDomain& second = build();
    EXPECT_NE(second.id, first);
    EXPECT_EQ(manager().info("g1").state(), v1::RUNNING);
    // A guest that reboots at once, again and again, is let go.
    for (int i = 0; i < 20 && manager().info("g1").active(); i++) {
        guest_ends(fake_.domains.begin()->second, abi::ShutdownReason::kReboot);
        if (manager().info("g1").building()) build();
    }
    EXPECT_EQ(manager().info("g1").state(), v1::SHUTOFF);
    expect_nothing_left();
}

TEST_F(Lifecycle, ARebootGoesOnWhenTheDaemonIsKilledMeanwhile) {
    v1::DomainConfig description = config("g1");
    description.set_on_reboot(v1::END_RESTART);
    guest_ends(create(description), abi::ShutdownReason::kReboot);
    ASSERT_TRUE(manager().info("g1").building());
    fake_.add_domain(*parse_uuid(manager().info("g1").uuid()), 3);  // as far as the builder had come
    restart_daemon();
    ASSERT_EQ(daemon_->builders.size(), 1u);
    build();
    EXPECT_EQ(manager().info("g1").state(), v1::RUNNING);
    destroy("g1");
    expect_nothing_left();
}

TEST_F(Lifecycle, DyingDomainsStayListedUntilOthersLetGo) {
    const uint16_t id = create("g1").id;
    fake_.keep_dying = true;
    destroy("g1");
    EXPECT_TRUE(manager().info("g1").dying());
    EXPECT_EQ(manager().info("g1").domid(), id);
    ask_create(config("g1"));  // its name is free
    daemon_->builders.back().failed(Failure(ErrorCode::kInternal, "enough"));
    restart_daemon();
    EXPECT_TRUE(manager().info("g1").dying());
    fake_.keep_dying = false;
    Hypervisor(fake_).destroy(DomId(id));
    manager().check_domains();
    daemon_->settle();
    EXPECT_THROW(manager().info("g1"), Failure);
    expect_nothing_left();
}

TEST_F(Lifecycle, RestartFindsEverybodyAgain) {
    FakeDomain& domain = create("g1");
    create("g2");
    restart_daemon();
    EXPECT_EQ(manager().info("g1").domid(), domain.id);
    EXPECT_EQ(manager().list().size(), 2u);
    EXPECT_TRUE(daemon_->store.is_introduced(DomId(domain.id)));
    EXPECT_EQ(daemon_->channels.bound.size(), 4u);
    destroy("g1");
    destroy("g2");
    expect_nothing_left();
}

TEST_F(Lifecycle, DomainsThatVanishMeanwhileAreReleased) {
    const uint16_t id = create("g1").id;
    daemon_.reset();
    Hypervisor(fake_).destroy(DomId(id));
    restart_daemon();
    EXPECT_EQ(manager().info("g1").state(), v1::SHUTOFF);
    expect_nothing_left();
}

// The daemon is killed at each of its steps; the next one leaves nothing half done.
TEST_F(Lifecycle, KilledAtEachStepOfCreate) {
    for (const std::string_view step : kFailPoints) {
        if (!step.starts_with("create.")) continue;
        fail_at_ = step;
        bool killed = false;
        try {
            create("g1");
        } catch (const Killed&) {
            killed = true;
        }
        // Steps inside the builder's process are not reached here.
        restart_daemon();
        const bool exists = !fake_.domains.empty();
        if (exists) {
            EXPECT_EQ(manager().info("g1").state(), v1::RUNNING) << step;
            EXPECT_FALSE(fake_.domains.begin()->second.paused) << step;
        }
        EXPECT_EQ(exists, !killed || step == "create.saved" || step == "create.unpaused") << step;
        if (exists) destroy("g1");
        expect_nothing_left();
        create("g1");
        destroy("g1");
        expect_nothing_left();
    }
}

TEST_F(Lifecycle, KilledAtEachStepOfDestroy) {
    for (const std::string_view step : kFailPoints) {
        if (!step.starts_with("destroy.")) continue;
        create("g1");
        fail_at_ = step;
        bool killed = false;
        try {
            destroy("g1");
        } catch (const Killed&) {
            killed = true;
        }
        EXPECT_TRUE(killed) << step;
        restart_daemon();
        EXPECT_THROW(manager().info("g1"), Failure) << step;
        expect_nothing_left();
    }
}

TEST_F(Lifecycle, StateOfAnotherBootIsDropped) {
    create("g1");
    daemon_.reset();
    const StateStore other(folder_.path() / "state", "boot-2");
    EXPECT_TRUE(StateStore(other).load().empty());
}

TEST_F(Lifecycle, ConsoleIsLoggedAndSurvivesTheDomain) {
    FakeDomain& domain = create("g1");
    auto* ring = reinterpret_cast<abi::ConsoleRing*>(fake_.frame(domain.frames.at(1)));
    std::copy_n("panic!\n", 7, ring->out);
    ring->out_prod = 7;
    guest_ends(domain, abi::ShutdownReason::kCrash);
    EXPECT_EQ(manager().console_log("g1", 100), "panic!\n");
    EXPECT_THROW(manager().console("g1"), Failure);
}

}  // namespace
}  // namespace torii::dom0
