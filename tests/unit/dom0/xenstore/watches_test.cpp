#include "xenstore/watches.h"

#include <gtest/gtest.h>

#include "xenstore_kit.h"

namespace torii::dom0::xenstore::test {
namespace {

using Events = std::vector<std::string>;

class WatchTest : public ::testing::Test {
protected:
    World world;
    Guest& guest = world.add_guest(5);
    Guest& other = world.add_guest(6);
    LocalClient& dom0 = world.client();
};

TEST(WatchRegistry, FindsAtAboveAndBelow) {
    WatchRegistry registry;
    for (const std::string path : {"/", "/a", "/a/b", "/a/b/c", "/ab", "@x"}) {
        EXPECT_TRUE(registry.add({1, path, "t", 0}));
    }
    const auto collect = [&](auto&& each) {
        std::vector<std::string> found;
        each([&](const Watch& watch) { found.push_back(watch.path); });
        return found;
    };
    EXPECT_EQ(collect([&](auto visit) { registry.for_each_at_or_above("/a/b", visit); }),
              (Events{"/a/b", "/a", "/"}));
    EXPECT_EQ(collect([&](auto visit) { registry.for_each_at_or_above("/", visit); }), (Events{"/"}));
    EXPECT_EQ(collect([&](auto visit) { registry.for_each_at_or_above("@x", visit); }), (Events{"@x"}));
    EXPECT_EQ(collect([&](auto visit) { registry.for_each_below("/a", visit); }), (Events{"/a/b", "/a/b/c"}));
    EXPECT_EQ(collect([&](auto visit) { registry.for_each_below("/", visit); }),
              (Events{"/a", "/a/b", "/a/b/c", "/ab"}));
    EXPECT_EQ(registry.count(1), 6u);
    EXPECT_FALSE(registry.add({1, "/a", "t", 0}));
    EXPECT_TRUE(registry.add({2, "/a", "t", 0}));
    registry.remove_all(1);
    EXPECT_EQ(registry.total(), 1u);
    EXPECT_TRUE(registry.remove(2, "/a", "t"));
    EXPECT_FALSE(registry.remove(2, "/a", "t"));
    EXPECT_EQ(registry.total(), 0u);
}

TEST_F(WatchTest, FiresOnceWhenSet) {
    EXPECT_EQ(guest.watch("device", "tok"), "OK");
    EXPECT_EQ(guest.events(), (Events{"device|tok"}));
    EXPECT_EQ(guest.watch("device", "tok"), "!EEXIST");
    EXPECT_EQ(guest.watch("/local/domain/5/device", "tok"), "!EEXIST");
    EXPECT_EQ(guest.watch("device", "other"), "OK");
    EXPECT_TRUE(guest.events() == Events{"device|other"});
}

TEST_F(WatchTest, TheAnswerComesBeforeTheEvent) {
    guest.send(Type::kWatch, zero_terminated("device|tok"));
    world.run();
    const auto& ring = guest.page().ring();
    std::uint32_t first_type = 0;
    std::memcpy(&first_type, ring.rsp, sizeof(first_type));
    EXPECT_EQ(first_type, static_cast<std::uint32_t>(Type::kWatch));
}

TEST_F(WatchTest, RelativeAndAbsolutePathsComeBackAsNamed) {
    guest.watch("device", "rel");
    guest.watch("/local/domain/5/device", "abs");
    guest.events();
    guest.write("device/vbd/0", "x");
    EXPECT_EQ(guest.events(), (Events{"device/vbd/0|rel", "/local/domain/5/device/vbd/0|abs"}));
}

TEST_F(WatchTest, EveryKindOfChangeFires) {
    guest.watch("n", "t");
    guest.events();
    guest.write("n", "1");
    EXPECT_EQ(guest.events(), (Events{"n|t"}));
    guest.write("n", "1");
    EXPECT_EQ(guest.events(), (Events{"n|t"})) << "also if the value stays the same";
    guest.ask(Type::kSetPerms, zero_terminated("n|n5|r6"));
    EXPECT_EQ(guest.events(), (Events{"n|t"}));
    guest.ask(Type::kMkdir, zero_terminated("n"));
    EXPECT_EQ(guest.events(), (Events{})) << "nothing is made where something is";
    guest.ask(Type::kRm, zero_terminated("n"));
    EXPECT_EQ(guest.events(), (Events{"n|t"}));
    guest.ask(Type::kRm, zero_terminated("n"));
    EXPECT_EQ(guest.events(), (Events{}));
    guest.ask(Type::kMkdir, zero_terminated("n"));
    EXPECT_EQ(guest.events(), (Events{"n|t"}));
}

TEST_F(WatchTest, RemovalOfAParentNamesTheWatchedPath) {
    guest.write("dir/sub/x", "1");
    guest.watch("dir/sub", "sub");
    guest.watch("dir", "dir");
    guest.watch("dir/absent", "absent");
    guest.events();
    guest.ask(Type::kRm, zero_terminated("dir"));
    EXPECT_EQ(guest.events(), (Events{"dir|dir", "dir/sub|sub"}));
}

TEST_F(WatchTest, UnreadableChangesAreNotTold) {
    dom0.write("/secret", "");
    guest.watch("/secret", "t");
    EXPECT_EQ(guest.events(), (Events{"/secret|t"})) << "the first event says nothing of the node";
    dom0.write("/secret", "1");
    dom0.write("/secret/x", "1");
    EXPECT_EQ(guest.events(), (Events{}));
    dom0.set_permissions("/secret", {{kDom0, Access::kRead}});
    EXPECT_EQ(guest.events(), (Events{"/secret|t"}));
    dom0.write("/secret", "2");
    EXPECT_EQ(guest.events(), (Events{"/secret|t"}));
    dom0.remove("/secret");
    EXPECT_EQ(guest.events(), (Events{"/secret|t"})) << "who could read it learns that it is gone";
}

TEST_F(WatchTest, RemovedSubtreeTellsOnlyWhatWasReadable) {
    dom0.write("/top/open", "");
    dom0.write("/top/closed", "");
    dom0.set_permissions("/top/open", {{kDom0, Access::kRead}});
    guest.watch("/top/open", "o");
    guest.watch("/top/closed", "c");
    guest.events();
    dom0.remove("/top");
    EXPECT_EQ(guest.events(), (Events{"/top/open|o"}));
}

TEST_F(WatchTest, UnwatchEndsIt) {
    guest.watch("n", "t");
    guest.events();
    EXPECT_EQ(with_bars(guest.ask(Type::kUnwatch, zero_terminated("n|wrong"))), "!ENOENT");
    EXPECT_EQ(with_bars(guest.ask(Type::kUnwatch, zero_terminated("n|t"))), "OK");
    EXPECT_EQ(with_bars(guest.ask(Type::kUnwatch, zero_terminated("n|t"))), "!ENOENT");
    guest.write("n", "1");
    EXPECT_EQ(guest.events(), (Events{}));
}

TEST_F(WatchTest, ResetEndsWatchesAndTransactions) {
    guest.watch("n", "t");
    const auto id = guest.start();
    guest.events();
    EXPECT_EQ(with_bars(guest.ask(Type::kResetWatches, zero_terminated(""))), "OK");
    guest.write("n", "1");
    EXPECT_EQ(guest.events(), (Events{}));
    EXPECT_EQ(guest.end(id), "!ENOENT");
    EXPECT_EQ(world.service().counters().watches, 0u);
}

TEST_F(WatchTest, DomainEventsAreForThePrivileged) {
    std::vector<std::string> seen;
    const LocalWatch introduced =
        dom0.watch("@introduceDomain", [&](const std::string& path) { seen.push_back(path); });
    const LocalWatch released =
        dom0.watch("@releaseDomain", [&](const std::string& path) { seen.push_back(path); });
    guest.watch("@introduceDomain", "i");
    guest.watch("@releaseDomain", "r");
    world.run();
    seen.clear();
    guest.events();
    world.add_guest(9);
    world.run();
    EXPECT_EQ(seen, (Events{"@introduceDomain"}));
    world.service().domain_shut_down(DomId(9));
    world.service().release(DomId(9));
    world.run();
    EXPECT_EQ(seen, (Events{"@introduceDomain", "@releaseDomain", "@releaseDomain"}));
    EXPECT_EQ(guest.events(), (Events{}));

    EXPECT_EQ(guest.ask(Type::kSetPerms, zero_terminated("@releaseDomain|r5")), "!EACCES");
    EXPECT_EQ(guest.ask(Type::kGetPerms, zero_terminated("@releaseDomain")), "!EACCES");
    dom0.set_permissions("@releaseDomain", {{kDom0, Access::kNone}, {DomId(5), Access::kRead}});
    world.service().domain_shut_down(DomId(6));
    EXPECT_EQ(guest.events(), (Events{"@releaseDomain|r"}));
    EXPECT_EQ(with_bars(guest.ask(Type::kGetPerms, zero_terminated("@releaseDomain"))), "n0|r5");
}

TEST_F(WatchTest, OthersChangesArrive) {
    dom0.write("/shared", "");
    dom0.set_permissions("/shared", {{kDom0, Access::kReadWrite}});
    guest.watch("/shared", "t");
    guest.events();
    other.write("/shared/x", "1");
    // Of what `other` has made it is the owner; others may read it as they may the parent.
    EXPECT_EQ(guest.events(), (Events{"/shared/x|t"}));
}

TEST_F(WatchTest, LongTokensThatWouldNotFitAreRefused) {
    EXPECT_EQ(guest.watch("n", std::string(1022, 't')), "OK");
    EXPECT_EQ(guest.watch("n", std::string(1023, 't')), "!E2BIG");
}

}  // namespace
}  // namespace torii::dom0::xenstore::test
