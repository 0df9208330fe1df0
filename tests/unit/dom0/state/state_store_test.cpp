#include "state/state_store.h"

#include <gtest/gtest.h>
#include <torii/failure.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "fail_point.h"
#include "state/atomic_file.h"
#include "unit/dom0/kit/kernel_file.h"

namespace torii::dom0 {
namespace {

v1::DomainRecord record(const std::string& uuid, int64_t created) {
    v1::DomainRecord record;
    record.mutable_config()->set_uuid(uuid);
    record.mutable_config()->set_name("n" + uuid);
    record.set_created_unix(created);
    return record;
}

TEST(StateStore, KeepsRecordsInOrderOfCreation) {
    const test::TemporaryFolder folder;
    {
        StateStore state(folder.path() / "a/b", "boot");
        state.save(record("2", 20));
        state.save(record("1", 10));
        state.save(record("3", 30));
        state.save(record("3", 5));
        state.remove("2");
    }
    const auto records = StateStore(folder.path() / "a/b", "boot").load();
    ASSERT_EQ(records.size(), 2u);
    EXPECT_EQ(records[0].config().name(), "n3");
    EXPECT_EQ(records[1].config().name(), "n1");
}

TEST(StateStore, AnotherBootStartsEmpty) {
    const test::TemporaryFolder folder;
    StateStore(folder.path(), "first").save(record("1", 1));
    EXPECT_EQ(StateStore(folder.path(), "first").load().size(), 1u);
    EXPECT_TRUE(StateStore(folder.path(), "second").load().empty());
    EXPECT_TRUE(StateStore(folder.path(), "first").load().empty());
}

// A newer daemon that can't read what the older one left must not forget the guests that run.
TEST(StateStore, AnotherFormatOfThisBootIsRefusedAndKept) {
    const test::TemporaryFolder folder;
    StateStore(folder.path(), "boot").save(record("1", 1));
    std::ofstream(folder.file("boot")) << "torii-state-2 boot\n";
    try {
        StateStore(folder.path(), "boot");
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.code(), ErrorCode::kNotSupported);
        EXPECT_NE(std::string(failure.what()).find("torii-state-2"), std::string::npos);
    }
    EXPECT_TRUE(std::filesystem::exists(folder.file("1.domain")));
    EXPECT_TRUE(StateStore(folder.path(), "next boot").load().empty());
}

TEST(StateStore, DamagedRecordsAreDropped) {
    const test::TemporaryFolder folder;
    StateStore state(folder.path(), "boot");
    state.save(record("1", 1));
    std::ofstream(folder.file("2.domain")) << "\xFF\xFF garbage";
    std::filesystem::copy_file(folder.file("1.domain"), folder.file("9.domain"));  // not its own name
    std::ofstream(folder.file("1.domain.new")) << "half";                          // a killed writer's
    EXPECT_EQ(state.load().size(), 1u);
    EXPECT_FALSE(std::filesystem::exists(folder.file("2.domain")));
}

TEST(AtomicFile, ReplacesWholeOrNot) {
    const test::TemporaryFolder folder;
    write_file_atomically(folder.file("f"), "one");
    write_file_atomically(folder.file("f"), "two");
    std::ifstream stream(folder.file("f"));
    std::string text;
    stream >> text;
    EXPECT_EQ(text, "two");
    EXPECT_THROW(write_file_atomically(folder.file("no/such/folder"), "x"), Failure);
}

TEST(FailPoint, CountsAreChecked) {
    for (const char* bad : {"name:", "name:0", "name:-1", "name:x", "name:1x"}) {
        EXPECT_THROW(make_fail_point_hook(bad, 0), Failure) << bad;
    }
    make_fail_point_hook("", 0)("create.saved");
    make_fail_point_hook("create.saved:2", 0)("create.saved");  // only the second time
    make_fail_point_hook("create.saved", 0)("create.built");
}

TEST(FailPoint, KillsAtTheStep) {
    const auto reach_twice = [] {
        const auto hook = make_fail_point_hook("here:2", ::getpid());
        hook("here");
        hook("here");
    };
    EXPECT_EXIT(reach_twice(), ::testing::KilledBySignal(SIGKILL), "");
}

}  // namespace
}  // namespace torii::dom0
