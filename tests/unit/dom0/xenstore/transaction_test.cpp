#include <gtest/gtest.h>

#include "xenstore_kit.h"

namespace torii::dom0::xenstore::test {
namespace {

class TransactionTest : public ::testing::Test {
protected:
    World world;
    Guest& a = world.add_guest(5);
    Guest& b = world.add_guest(6);
    LocalClient& dom0 = world.client();

    void open_to_all(const std::string& path) { dom0.set_permissions(path, {{kDom0, Access::kReadWrite}}); }
    void make_shared(const std::string& path, const std::string& value) {
        dom0.write(path, value);
        open_to_all(path);
    }
};

TEST_F(TransactionTest, ChangesShowOnlyAfterTheCommit) {
    const auto id = a.start();
    EXPECT_EQ(a.write("x", "1", id), "OK");
    EXPECT_EQ(a.read("x", id), "1");
    EXPECT_EQ(a.read("x"), "!ENOENT");
    EXPECT_EQ(a.end(id), "OK");
    EXPECT_EQ(a.read("x"), "1");
    EXPECT_EQ(a.read("x", id), "!ENOENT");
}

TEST_F(TransactionTest, AbandonedChangesNothing) {
    const auto id = a.start();
    a.write("x", "1", id);
    EXPECT_EQ(a.end(id, false), "OK");
    EXPECT_EQ(a.read("x"), "!ENOENT");
    EXPECT_EQ(a.end(id), "!ENOENT");
}

TEST_F(TransactionTest, SeesTheStoreAsItWas) {
    a.write("x", "1");
    const auto id = a.start();
    a.write("x", "2");
    EXPECT_EQ(a.read("x", id), "1");
    EXPECT_EQ(a.end(id), "!EAGAIN");
    EXPECT_EQ(a.read("x"), "2");
}

TEST_F(TransactionTest, UnrelatedChangesDoNotConflict) {
    make_shared("/shared", "");
    make_shared("/other", "");
    const auto id = a.start();
    a.write("/shared/a", "1", id);
    b.write("/other/b", "2");
    b.write("/shared/b", "3");  // another child of the directory in which `a` creates one
    EXPECT_EQ(a.end(id), "OK");
    EXPECT_EQ(dom0.read("/shared/a"), "1");
    EXPECT_EQ(dom0.read("/shared/b"), "3");
}

TEST_F(TransactionTest, ListedDirectoryConflictsWithNewChild) {
    make_shared("/shared", "");
    const auto id = a.start();
    EXPECT_EQ(a.ask(Type::kDirectory, zero_terminated("/shared"), id), "");
    a.write("/shared/a", "1", id);
    b.write("/shared/b", "2");
    EXPECT_EQ(a.end(id), "!EAGAIN");
    EXPECT_EQ(dom0.read("/shared/a"), std::nullopt);
}

TEST_F(TransactionTest, AbsenceThatWasSeenConflictsWithCreation) {
    make_shared("/shared", "");
    const auto id = a.start();
    EXPECT_EQ(a.read("/shared/lock", id), "!ENOENT");
    a.write("mine", "1", id);
    b.write("/shared/lock", "b");
    EXPECT_EQ(a.end(id), "!EAGAIN");
}

TEST_F(TransactionTest, OfTwoThatWriteTheSameNodeOneWins) {
    make_shared("/shared", "0");
    const auto ta = a.start();
    const auto tb = b.start();
    EXPECT_EQ(a.write("/shared", "a", ta), "OK");
    EXPECT_EQ(b.write("/shared", "b", tb), "OK");
    EXPECT_EQ(b.end(tb), "OK");
    EXPECT_EQ(a.end(ta), "!EAGAIN");
    EXPECT_EQ(dom0.read("/shared"), "b");
}

TEST_F(TransactionTest, RemovalConflictsWithChangesBelow) {
    make_shared("/shared", "");
    make_shared("/shared/dir", "");
    make_shared("/shared/dir/x", "");
    const auto id = a.start();
    EXPECT_EQ(with_bars(a.ask(Type::kRm, zero_terminated("/shared/dir"), id)), "OK");
    b.write("/shared/dir/x", "changed");
    EXPECT_EQ(a.end(id), "!EAGAIN");
    EXPECT_EQ(dom0.read("/shared/dir/x"), "changed");
}

TEST_F(TransactionTest, RemovedAndMadeAgain) {
    a.write("dir/x", "1");
    a.write("dir/y", "2");
    const auto id = a.start();
    a.ask(Type::kRm, zero_terminated("dir"), id);
    a.write("dir/y", "3", id);
    EXPECT_EQ(a.end(id), "OK");
    EXPECT_EQ(a.read("dir/x"), "!ENOENT");
    EXPECT_EQ(a.read("dir/y"), "3");
}

TEST_F(TransactionTest, MadeAndRemovedAgain) {
    const auto id = a.start();
    a.write("dir/x", "1", id);
    a.ask(Type::kRm, zero_terminated("dir/x"), id);
    EXPECT_EQ(a.end(id), "OK");
    EXPECT_EQ(a.read("dir/x"), "!ENOENT");
    EXPECT_EQ(a.read("dir"), "");
}

TEST_F(TransactionTest, PermissionChangeUnderItConflicts) {
    make_shared("/shared", "0");
    const auto id = a.start();
    EXPECT_EQ(a.write("/shared", "a", id), "OK");
    dom0.set_permissions("/shared", {{kDom0, Access::kNone}});
    EXPECT_EQ(a.end(id), "!EAGAIN");
    EXPECT_EQ(dom0.read("/shared"), "0");
}

TEST_F(TransactionTest, OnlyTheChangedPartIsWrittenBack) {
    a.write("x", "old");
    const auto id = a.start();
    EXPECT_EQ(with_bars(a.ask(Type::kSetPerms, zero_terminated("x|n5|r6"), id)), "OK");
    a.write("x", "new");
    EXPECT_EQ(a.end(id), "OK");
    EXPECT_EQ(a.read("x"), "new");
    EXPECT_EQ(with_bars(a.ask(Type::kGetPerms, zero_terminated("x"))), "n5|r6");
}

TEST_F(TransactionTest, WrongIds) {
    EXPECT_EQ(a.read("x", 99), "!ENOENT");
    EXPECT_EQ(a.end(99), "!ENOENT");
    const auto id = a.start();
    EXPECT_EQ(a.ask(Type::kTransactionStart, zero_terminated(""), id), "!EBUSY");
    EXPECT_EQ(b.read("x", id), "!ENOENT") << "an id is good on its own connection only";
    EXPECT_EQ(a.ask(Type::kTransactionEnd, zero_terminated("X"), id), "!EINVAL");
    EXPECT_EQ(a.end(id), "OK");
}

TEST_F(TransactionTest, EventsComeOnceAndOnlyWithTheCommit) {
    a.watch("", "t");  // EINVAL: no path; the domain's own directory has no relative name
    a.watch("dir", "t");
    a.events();
    const auto id = a.start();
    a.write("dir/x", "1", id);
    a.write("dir/x", "2", id);
    a.write("dir/y", "3", id);
    EXPECT_TRUE(a.events().empty());
    a.end(id);
    EXPECT_EQ(a.events(), (std::vector<std::string>{"dir/x|t", "dir/y|t"}));
    const auto failed = a.start();
    a.write("dir/x", "4", failed);
    a.write("dir/x", "5");
    a.events();
    EXPECT_EQ(a.end(failed), "!EAGAIN");
    EXPECT_TRUE(a.events().empty());
}

TEST_F(TransactionTest, QuotaIsCheckedAgainAtTheEnd) {
    World::Setup setup;
    setup.quota.nodes_per_domain = 5;
    World small(setup);
    Guest& guest = small.add_guest(5);  // owns its directory
    const auto id = guest.start();
    EXPECT_EQ(guest.write("a", "", id), "OK");
    EXPECT_EQ(guest.write("b", "", id), "OK");
    for (const std::string name : {"c", "d", "e"})
        EXPECT_EQ(guest.write(name, ""), "OK");
    EXPECT_EQ(guest.end(id), "!ENOSPC");
    EXPECT_EQ(guest.read("a"), "!ENOENT");
}

}  // namespace
}  // namespace torii::dom0::xenstore::test
