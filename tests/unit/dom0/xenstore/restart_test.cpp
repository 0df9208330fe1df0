// The daemon dies at every step there is a name for; a guest must not be able to tell.

#include <gtest/gtest.h>

#include <random>

#include "xenstore/fail_points.h"
#include "xenstore_kit.h"

namespace torii::dom0::xenstore::test {
namespace {

World::Setup persistent() {
    World::Setup setup;
    setup.persistent = true;
    return setup;
}

TEST(Restart, TreeWatchesAndPermissionsSurvive) {
    World world(persistent());
    Guest& guest = world.add_guest(5);
    guest.write("a/b", "value");
    guest.ask(Type::kSetPerms, zero_terminated("a/b|n5|r6"));
    guest.write("gone", "x");
    guest.ask(Type::kRm, zero_terminated("gone"));
    guest.watch("a", "tok");
    guest.watch("b", "dropped");
    guest.ask(Type::kUnwatch, zero_terminated("b|dropped"));
    world.client().set_permissions("@releaseDomain", {{kDom0, Access::kNone}, {DomId(5), Access::kRead}});
    guest.events();
    for (int i = 0; i != 3; ++i) {
        world.restart();
        EXPECT_EQ(guest.read("a/b"), "value");
        EXPECT_EQ(guest.read("gone"), "!ENOENT");
        EXPECT_EQ(with_bars(guest.ask(Type::kGetPerms, zero_terminated("a/b"))), "n5|r6");
        EXPECT_EQ(with_bars(guest.ask(Type::kGetPerms, zero_terminated("@releaseDomain"))), "n0|r5");
        EXPECT_TRUE(guest.events().empty()) << "no watch fires because of a restart";
        guest.write("a/c", "1");
        EXPECT_EQ(guest.events(), (std::vector<std::string>{"a/c|tok"}));
        EXPECT_EQ(world.service().node_count(DomId(5)), 4u);
    }
}

TEST(Restart, OpenTransactionsEndInTryAgain) {
    World world(persistent());
    Guest& guest = world.add_guest(5);
    guest.write("x", "1");
    const auto kept = guest.start();
    const auto closed = guest.start();
    guest.end(closed);
    guest.write("x", "2", kept);
    guest.write("y", "2", kept);
    world.restart();
    EXPECT_EQ(guest.read("x", kept), "1") << "its changes are lost";
    EXPECT_EQ(guest.write("x", "3", kept), "OK");
    EXPECT_EQ(guest.end(kept), "!EAGAIN");
    EXPECT_EQ(guest.end(closed), "!ENOENT");
    EXPECT_EQ(guest.read("x"), "1");
    const auto next = guest.start();
    EXPECT_NE(next, kept);
    EXPECT_EQ(guest.end(next), "OK");
}

TEST(Restart, AnotherBootStartsEmpty) {
    World world(persistent());
    world.client().write("/x", "1");
    world.set_boot_id("boot-2");
    world.restart();
    EXPECT_EQ(world.client().read("/x"), std::nullopt);
    EXPECT_TRUE(world.service().restored_domains().empty());
}

TEST(Restart, HalfSentRequestAndHalfReadAnswer) {
    World world(persistent());
    Guest& guest = world.add_guest(5);
    world.client().write("/big", std::string(4000, 'b'));
    world.client().set_permissions("/big", {{kDom0, Access::kRead}});
    const std::string request = encode_message(Type::kRead, 3, 0, zero_terminated("/big"));
    for (const char byte : request) {
        guest.push(std::string_view(&byte, 1));
        world.run();
        world.restart();
    }
    std::optional<Message> answer;
    for (int i = 0; i != 100 && !answer; ++i) {
        answer = guest.next_answer();
        world.restart();
    }
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->payload, std::string(4000, 'b'));
    EXPECT_FALSE(guest.next_answer());
}

TEST(Restart, EventsNotYetReadAreKept) {
    World world(persistent());
    Guest& guest = world.add_guest(5);
    guest.watch("n", "t");
    guest.events();
    for (int i = 0; i != 200; ++i)
        world.client().write("/local/domain/5/n/" + std::to_string(i), "");
    world.restart();
    const auto events = guest.events();
    ASSERT_EQ(events.size(), 200u);
    EXPECT_EQ(events.back(), "n/199|t");
}

TEST(Restart, ReleasedWhileDownIsForgotten) {
    World world(persistent());
    world.add_guest(5).watch("n", "t");
    world.service().release(DomId(5));
    world.restart();
    EXPECT_FALSE(world.service().is_introduced(DomId(5)));
    EXPECT_EQ(world.service().counters().watches, 0u);
}

TEST(Restart, LocationIsHandedBack) {
    World world(persistent());
    world.add_guest(5);
    world.kill();
    boost::asio::io_context io;
    Options options;
    options.state_directory = world.directory() / "state";
    options.boot_id = "boot-1";
    const Service service(io, options);
    const auto restored = service.restored_domains();
    ASSERT_EQ(restored.size(), 1u);
    EXPECT_EQ(restored.front().domain, DomId(5));
    EXPECT_EQ(restored.front().location.frame, 500u);
    EXPECT_EQ(restored.front().location.port, 7u);
}

TEST(Restart, TwoDaemonsAreNotPossible) {
    World world(persistent());
    boost::asio::io_context io;
    Options options;
    options.state_directory = world.directory() / "state";
    options.boot_id = "boot-1";
    EXPECT_THROW(Service(io, options), Failure);
}

TEST(Restart, BrokenRingStaysBroken) {
    World world(persistent());
    Guest& guest = world.add_guest(5);
    guest.page().ring().req_prod += 5000;
    world.run();
    world.restart();
    EXPECT_NE(guest.page().ring().error, abi::kXenstoreErrorNone);
    guest.page().ring().connection = abi::kXenstoreReconnect;
    world.run();
    EXPECT_EQ(guest.write("x", "1"), "OK");
}

TEST(Restart, LongLifeKeepsTheJournalShort) {
    World world(persistent());
    Guest& guest = world.add_guest(5);
    for (int i = 0; i != 4000; ++i)
        guest.write("n" + std::to_string(i % 50), std::string(1000, 'x'));
    EXPECT_LT(world.service().counters().journal_bytes, 2u << 20);
    world.restart();
    EXPECT_EQ(guest.read("n49"), std::string(1000, 'x'));
}

// A counter in the store: each request changes it in a way that shows if it is done twice or not at all.
struct Step {
    std::string_view fail_point;
    unsigned count;
};

class RestartAtStep : public ::testing::TestWithParam<Step> {};

// Runs a workload of everything that can be cut in two, and compares each answer with what it must be.
void run_workload(World& world, Guest& guest, Guest& peer) {
    EXPECT_EQ(guest.watch("log", "L"), "OK");
    EXPECT_EQ(peer.watch("/local/domain/5/shared", "P"), "OK");
    guest.events();
    peer.events();
    guest.write("shared", "");
    guest.ask(Type::kSetPerms, zero_terminated("shared|r5"));
    peer.events();
    for (int i = 0; i != 6; ++i) {
        const std::string number = std::to_string(i);
        EXPECT_EQ(guest.write("log/" + number, std::string(1500, static_cast<char>('a' + i))), "OK");
        EXPECT_EQ(guest.read("log/" + number), std::string(1500, static_cast<char>('a' + i)));
        EXPECT_EQ(guest.write("shared/" + number, ""), "OK");
        EXPECT_EQ(peer.events(), (std::vector<std::string>{"/local/domain/5/shared/" + number + "|P"}));
        EXPECT_EQ(guest.events(), (std::vector<std::string>{"log/" + number + "|L"}));
        // Done twice, the second would find nothing and say ENOENT; an id is given out once.
        const auto id = guest.start();
        EXPECT_EQ(id, static_cast<std::uint32_t>(i + 1));
        EXPECT_EQ(guest.write("in-transaction", number, id), "OK");
        const std::string end = guest.end(id);
        EXPECT_TRUE(end == "OK" || end == "!EAGAIN") << end;
        EXPECT_EQ(guest.watch("once", number), "OK") << "EEXIST if it was done twice";
        EXPECT_EQ(guest.events(), (std::vector<std::string>{"once|" + number}));
        EXPECT_EQ(with_bars(guest.ask(Type::kUnwatch, zero_terminated("once|" + number))), "OK");
    }
    EXPECT_FALSE(guest.next_answer());
    EXPECT_EQ(world.service().counters().watches, 2u);
}

TEST_P(RestartAtStep, NothingShows) {
    World world(persistent());
    Guest& guest = world.add_guest(5);
    Guest& peer = world.add_guest(6);
    world.arm(GetParam().fail_point, GetParam().count);
    run_workload(world, guest, peer);
}

std::vector<Step> all_steps() {
    std::vector<Step> steps;
    for (const std::string_view point : fail_point::kAll) {
        for (unsigned count = 1; count <= 40; count += 3)
            steps.push_back({point, count});
    }
    return steps;
}

INSTANTIATE_TEST_SUITE_P(EachStep, RestartAtStep, ::testing::ValuesIn(all_steps()), [](const auto& info) {
    std::string name(info.param.fail_point.substr(info.param.fail_point.find('.') + 1));
    return name + "_" + std::to_string(info.param.count);
});

TEST(Restart, EveryStepIsReached) {
    for (const std::string_view point : fail_point::kAll) {
        World world(persistent());
        Guest& guest = world.add_guest(5);
        world.client().write("/big", std::string(3000, 'b'));
        world.arm(point, 1);
        for (int i = 0; i != 800 && world.kills() == 0; ++i) {
            ASSERT_EQ(guest.write("n" + std::to_string(i % 5), std::string(1500, 'x')), "OK");
        }
        EXPECT_EQ(world.kills(), 1u) << point;
        EXPECT_EQ(guest.read("n0"), std::string(1500, 'x')) << point;
    }
}

TEST(Restart, KilledAgainAndAgain) {
    std::mt19937 random(99);
    unsigned kills = 0;
    for (int round = 0; round != 20; ++round) {
        World world(persistent());
        Guest& guest = world.add_guest(5);
        guest.watch("n", "t");
        guest.events();
        std::vector<std::string> expected;
        for (int i = 0; i != 60; ++i) {
            world.arm(fail_point::kAll[random() % fail_point::kAll.size()], 1 + random() % 6);
            const std::string path = "n/" + std::to_string(i);
            ASSERT_EQ(guest.write(path, std::string(random() % 1800, 'v')), "OK");
            expected.push_back(path + "|t");
            if (random() % 4 == 0) {
                ASSERT_EQ(guest.events(), expected);
                expected.clear();
            }
        }
        world.arm("", 0);
        EXPECT_EQ(guest.events(), expected);
        kills += world.kills();
    }
    EXPECT_GT(kills, 100u);
}

TEST(Restart, ReconnectionIsDoneOnceItIsAnswered) {
    for (unsigned count = 1; count <= 6; ++count) {
        World world(persistent());
        Guest& guest = world.add_guest(5);
        guest.watch("n", "t");
        guest.pull();
        world.arm(fail_point::kRecordCopied, count);
        guest.page().ring().connection = abi::kXenstoreReconnect;
        for (int i = 0; i != 10; ++i)
            world.run();
        ASSERT_EQ(guest.page().ring().connection, abi::kXenstoreConnected);
        EXPECT_EQ(guest.page().ring().rsp_prod, 0u);
        EXPECT_EQ(guest.write("x", "1"), "OK");
        EXPECT_EQ(world.service().counters().watches, 0u);
    }
}

}  // namespace
}  // namespace torii::dom0::xenstore::test
