#include <gtest/gtest.h>

#include "xenstore_kit.h"

namespace torii::dom0::xenstore::test {
namespace {

TEST(Quota, Nodes) {
    World world;
    Guest& guest = world.add_guest(5);
    // Its own directory counts.
    for (int i = 0; i != 999; ++i)
        ASSERT_EQ(guest.write("n" + std::to_string(i), ""), "OK");
    EXPECT_EQ(guest.write("one-more", ""), "!ENOSPC");
    EXPECT_EQ(guest.write("n0", "changed"), "OK");
    EXPECT_EQ(guest.ask(Type::kMkdir, zero_terminated("one-more")), "!ENOSPC");
    guest.ask(Type::kRm, zero_terminated("n1"));
    EXPECT_EQ(guest.write("deep/er", ""), "!ENOSPC") << "two nodes, one is free";
    EXPECT_EQ(guest.write("one-more", ""), "OK");
    EXPECT_EQ(world.service().node_count(DomId(5)), 1000u);
    // The control domain is not held up, and neither is a neighbour.
    world.client().write("/local/domain/5/by-dom0", "");
    EXPECT_EQ(world.add_guest(6).write("x", ""), "OK");
}

TEST(Quota, NodeSizeAndPermissions) {
    World world;
    Guest& guest = world.add_guest(5);
    const std::size_t room = 2048 - sizeof(Permission);
    EXPECT_EQ(guest.write("n", std::string(room, 'x')), "OK");
    EXPECT_EQ(guest.write("n", std::string(room + 1, 'x')), "!ENOSPC");
    EXPECT_EQ(guest.write("m", std::string(room + 1, 'x')), "!ENOSPC");
    EXPECT_EQ(guest.read("m"), "!ENOENT");
    EXPECT_EQ(with_bars(guest.ask(Type::kSetPerms, zero_terminated("n|n5|r1"))), "!ENOSPC");
    guest.write("n", "");
    EXPECT_EQ(with_bars(guest.ask(Type::kSetPerms, zero_terminated("n|n5|r1|r2|r3|r4"))), "OK");
    EXPECT_EQ(with_bars(guest.ask(Type::kSetPerms, zero_terminated("n|n5|r1|r2|r3|r4|r6"))), "!ENOSPC");
}

TEST(Quota, Watches) {
    World world;
    Guest& guest = world.add_guest(5);
    for (int i = 0; i != 128; ++i)
        ASSERT_EQ(guest.watch("n", std::to_string(i)), "OK");
    EXPECT_EQ(guest.watch("n", "more"), "!E2BIG");
    guest.ask(Type::kUnwatch, zero_terminated("n|0"));
    EXPECT_EQ(guest.watch("n", "more"), "OK");
}

TEST(Quota, Transactions) {
    World world;
    Guest& guest = world.add_guest(5);
    std::vector<std::uint32_t> open;
    for (int i = 0; i != 10; ++i)
        open.push_back(guest.start());
    EXPECT_EQ(guest.ask(Type::kTransactionStart, zero_terminated("")), "!ENOSPC");
    EXPECT_EQ(guest.end(open.front()), "OK");
    EXPECT_NE(guest.start(), 0u);
}

TEST(Quota, NodesOfATransaction) {
    World::Setup setup;
    setup.quota.nodes_per_transaction = 20;
    World world(setup);
    Guest& guest = world.add_guest(5);
    const auto id = guest.start();
    std::string answer = "OK";
    int written = 0;
    for (; answer == "OK" && written != 100; ++written)
        answer = guest.write("n" + std::to_string(written), "", id);
    EXPECT_EQ(answer, "!ENOSPC");
    EXPECT_LT(written, 25);
    EXPECT_EQ(guest.end(id), "OK") << "what was accepted can be committed";
}

TEST(Quota, TransactionsThatStayOpenForeverAreGivenUp) {
    World::Setup setup;
    setup.quota.changes_during_transaction = 100;
    World world(setup);
    Guest& guest = world.add_guest(5);
    guest.write("x", "1");
    const auto id = guest.start();
    EXPECT_EQ(guest.write("x", "2", id), "OK");
    for (int i = 0; i != 300; ++i)
        world.client().write("/elsewhere", std::to_string(i));
    const auto next = guest.start();
    EXPECT_EQ(guest.read("x", id), "1") << "its own change is lost";
    EXPECT_EQ(guest.end(id), "!EAGAIN");
    EXPECT_EQ(guest.end(next), "OK");
    EXPECT_EQ(guest.read("x"), "1");
}

TEST(Quota, UnreadAnswersStopTheService) {
    World world;
    Guest& guest = world.add_guest(5);
    Guest& other = world.add_guest(6);
    guest.write("big", std::string(1000, 'x'));
    const std::string request = encode_message(Type::kRead, 0, 0, zero_terminated("big"));
    std::size_t accepted = 0;
    for (int i = 0; i != 1000; ++i) {
        if (guest.push(request) != request.size()) break;
        ++accepted;
        world.run();
    }
    // A ring full of requests of 20 bytes each, and those whose answers wait: the quota of 20.
    EXPECT_LT(accepted, 51u + 20u + 5u);
    EXPECT_GT(accepted, 20u);
    for (int i = 0; i != 50; ++i)
        EXPECT_EQ(other.write("x", std::to_string(i)), "OK");
    EXPECT_FALSE(world.log_lines.empty());
}

TEST(Quota, EventsForOneThatDoesNotReadAreBoundedAndMerged) {
    World::Setup setup;
    setup.quota.pending_events = 100;
    World world(setup);
    Guest& guest = world.add_guest(5);
    guest.watch("n", "t");
    guest.watch("", "x");
    for (int i = 0; i != 5000; ++i)
        world.client().write("/local/domain/5/n/" + std::to_string(i % 900), "");
    // Each event is about 25 bytes; beyond 100 waiting there is one for "n" itself.
    const auto events = guest.events();
    EXPECT_LT(events.size(), 200u);
    EXPECT_EQ(events.back(), "n|t");
    // Read empty, it gets every event again.
    world.client().write("/local/domain/5/n/7", "");
    EXPECT_EQ(guest.events(), (std::vector<std::string>{"n/7|t"}));
}

TEST(Quota, AFloodingDomainDoesNotHoldUpOthers) {
    World world;
    Guest& flooder = world.add_guest(5);
    Guest& other = world.add_guest(6);
    const std::string request = encode_message(Type::kRead, 0, 0, zero_terminated("x"));
    while (flooder.push(request) == request.size()) {
    }
    const std::uint64_t before = world.service().counters().requests;
    other.push(encode_message(Type::kRead, 1, 0, zero_terminated("y")));
    world.service().ring_signalled(DomId(5));
    EXPECT_LE(world.service().counters().requests - before, 16u) << "one turn is limited";
    world.service().ring_signalled(DomId(6));
    EXPECT_TRUE(other.next_answer());
}

}  // namespace
}  // namespace torii::dom0::xenstore::test
