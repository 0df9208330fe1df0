#include "xenstore/local_client.h"

#include <gtest/gtest.h>

#include "xenstore_kit.h"

namespace torii::dom0::xenstore::test {
namespace {

TEST(LocalClient, ReadsAndWrites) {
    World world;
    LocalClient& client = world.client();
    EXPECT_EQ(client.read("/a"), std::nullopt);
    client.write("/a/b", "1");
    client.make_directory("/a/c");
    EXPECT_EQ(client.read("/a/b"), "1");
    EXPECT_EQ(client.directory("/a"), (std::vector<std::string>{"b", "c"}));
    EXPECT_TRUE(client.exists("/a/c"));
    client.remove("/a");
    EXPECT_FALSE(client.exists("/a/c"));
    client.remove("/not/there/at/all");
    EXPECT_EQ(client.directory("/a"), std::nullopt);
    EXPECT_EQ(client.permissions("/a"), std::nullopt);
}

TEST(LocalClient, ErrorsAreSentences) {
    World world;
    try {
        world.client().write("no/slash", "x");
        FAIL();
    } catch (const StoreFailure& failure) {
        EXPECT_EQ(failure.store_error(), StoreError::kInvalid);
        EXPECT_STREQ(
            failure.what(),
            "The xenstore refused to write no/slash: the path or an argument is malformed (EINVAL).");
    }
    EXPECT_THROW(world.client().set_permissions("/nope", {{kDom0, Access::kNone}}), StoreFailure);
    EXPECT_THROW(world.client().set_permissions("/", {}), StoreFailure);
    EXPECT_THROW((void)world.client().read("@releaseDomain"), StoreFailure);
    EXPECT_THROW(world.client().remove("/"), StoreFailure);
}

TEST(LocalClient, WatchesCallBack) {
    World world;
    std::vector<std::string> seen;
    auto watch = world.client().watch("/a", [&](const std::string& path) { seen.push_back(path); });
    EXPECT_TRUE(seen.empty()) << "never from inside a call";
    world.run();
    EXPECT_EQ(seen, (std::vector<std::string>{"/a"}));
    world.client().write("/a/b", "1");
    world.client().write("/other", "1");
    world.run();
    EXPECT_EQ(seen, (std::vector<std::string>{"/a", "/a/b"}));
    LocalWatch moved = std::move(watch);
    world.client().write("/a/c", "1");
    moved = LocalWatch();
    world.run();
    EXPECT_EQ(seen.size(), 2u) << "ended before it was delivered";
    EXPECT_EQ(world.service().counters().watches, 0u);
}

TEST(LocalClient, CallbacksMayUseTheStoreAndEndWatches) {
    World world;
    LocalWatch watch;
    int calls = 0;
    watch = world.client().watch("/a", [&](const std::string&) {
        world.client().write("/a", std::to_string(++calls));
        if (calls == 3) watch = LocalWatch();
    });
    for (int i = 0; i != 10; ++i)
        world.run();
    EXPECT_EQ(calls, 3);
    EXPECT_EQ(world.client().read("/a"), "3");
}

TEST(LocalClient, TransactionsAreAllOrNothing) {
    World world;
    std::vector<std::string> seen;
    const auto watch = world.client().watch("/d", [&](const std::string& path) { seen.push_back(path); });
    world.run();
    seen.clear();
    world.client().transaction([&](LocalAccess& store) {
        store.write("/d/a", "1");
        store.write("/d/b", "2");
        store.set_permissions("/d", {{DomId(5), Access::kRead}});
        EXPECT_EQ(store.read("/d/a"), "1");
        EXPECT_EQ(world.client().read("/d/a"), std::nullopt);
    });
    world.run();
    EXPECT_EQ(seen, (std::vector<std::string>{"/d", "/d/a", "/d/b"}));
    EXPECT_EQ(world.client().read("/d/b"), "2");
    struct Stop {};
    EXPECT_THROW(world.client().transaction([&](LocalAccess& store) {
        store.write("/d/c", "3");
        throw Stop();
    }),
                 Stop);
    EXPECT_EQ(world.client().read("/d/c"), std::nullopt);
    EXPECT_EQ(world.service().counters().transactions, 0u);
}

TEST(LocalClient, ConflictsAreRunAgain) {
    World world;
    int runs = 0;
    world.client().transaction([&](LocalAccess& store) {
        const auto before = store.read("/n");
        if (++runs == 1) world.client().write("/n", "outside");
        store.write("/copy", before.value_or("none"));
    });
    EXPECT_EQ(runs, 2);
    EXPECT_EQ(world.client().read("/copy"), "outside");
}

}  // namespace
}  // namespace torii::dom0::xenstore::test
