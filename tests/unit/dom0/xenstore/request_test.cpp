#include <gtest/gtest.h>

#include "xenstore_kit.h"

namespace torii::dom0::xenstore::test {
namespace {

class RequestTest : public ::testing::Test {
protected:
    World world;
    Guest& guest = world.add_guest(5);
    Guest& kernel = world.add_guest(0);  // the control domain's own
    LocalClient& dom0 = world.client();

    std::string ask(Guest& who, Type type, std::string_view text) {
        return with_bars(who.ask(type, zero_terminated(text)));
    }
};

TEST_F(RequestTest, WritesAndReads) {
    EXPECT_EQ(guest.write("a/b/c", "value"), "OK");
    EXPECT_EQ(guest.read("a/b/c"), "value");
    EXPECT_EQ(guest.read("/local/domain/5/a/b/c"), "value");
    EXPECT_EQ(guest.read("a"), "");
    EXPECT_EQ(guest.read("a/x"), "!ENOENT");
    const std::string binary("\0\xff\0x", 4);
    EXPECT_EQ(guest.write("bin", binary), "OK");
    EXPECT_EQ(guest.read("bin"), binary);
    EXPECT_EQ(guest.write("empty", ""), "OK");
    EXPECT_EQ(guest.read("empty"), "");
}

TEST_F(RequestTest, Directories) {
    guest.write("d/z", "");
    guest.write("d/a", "");
    EXPECT_EQ(ask(guest, Type::kDirectory, "d"), "a|z");
    EXPECT_EQ(ask(guest, Type::kDirectory, "d/a"), "");
    EXPECT_EQ(ask(guest, Type::kDirectory, "nope"), "!ENOENT");
    EXPECT_EQ(ask(guest, Type::kMkdir, "m/n"), "OK");
    EXPECT_EQ(ask(guest, Type::kDirectory, "m"), "n");
    guest.write("m", "kept");
    EXPECT_EQ(ask(guest, Type::kMkdir, "m"), "OK");
    EXPECT_EQ(guest.read("m"), "kept");
}

TEST_F(RequestTest, LongDirectoryComesInParts) {
    std::vector<std::string> names;
    for (int i = 0; i != 600; ++i) {
        names.push_back("child-number-" + std::to_string(1000 + i));
        dom0.write("/long/" + names.back(), "");
    }
    EXPECT_EQ(ask(kernel, Type::kDirectory, "/long"), "!E2BIG");
    std::string list;
    std::string generation;
    for (unsigned part = 0; part != 10; ++part) {
        std::string answer =
            kernel.ask(Type::kDirectoryPart, zero_terminated("/long|" + std::to_string(list.size())));
        ASSERT_LE(answer.size(), abi::kXenstorePayloadMax);
        std::string_view rest = answer;
        const std::string count(*take_string(rest));
        EXPECT_TRUE(generation.empty() || generation == count);
        generation = count;
        list += rest;
        // An empty name marks the end.
        if (rest.size() >= 2 ? rest.substr(rest.size() - 2) == std::string_view("\0\0", 2) : rest.size() == 1)
            break;
    }
    std::string expected;
    for (const std::string& name : names)
        expected += name + '\0';
    EXPECT_EQ(list, expected + '\0');
    dom0.write("/long/x", "");
    std::string changed = kernel.ask(Type::kDirectoryPart, zero_terminated("/long|0"));
    EXPECT_NE(std::string(changed.c_str()), generation);
    EXPECT_EQ(ask(kernel, Type::kDirectoryPart, "/long|x"), "!EINVAL");
    EXPECT_EQ(ask(kernel, Type::kDirectoryPart, "/long"), "!EINVAL");
}

TEST_F(RequestTest, Removal) {
    guest.write("d/x/y", "1");
    EXPECT_EQ(ask(guest, Type::kRm, "d"), "OK");
    EXPECT_EQ(guest.read("d/x/y"), "!ENOENT");
    EXPECT_EQ(ask(guest, Type::kRm, "d"), "OK") << "its parent exists, so this is no error";
    EXPECT_EQ(ask(guest, Type::kRm, "d/x/y"), "!ENOENT");
    EXPECT_EQ(ask(kernel, Type::kRm, "/"), "!EINVAL");
    EXPECT_EQ(ask(guest, Type::kRm, "/"), "!EINVAL");
}

TEST_F(RequestTest, PermissionsAreKept) {
    dom0.write("/dom0/secret", "s");
    EXPECT_EQ(guest.read("/dom0/secret"), "!EACCES");
    EXPECT_EQ(guest.read("/dom0/absent"), "!EACCES") << "does not even tell what exists";
    EXPECT_EQ(guest.write("/dom0/secret", "x"), "!EACCES");
    EXPECT_EQ(guest.write("/dom0/new", "x"), "!EACCES");
    EXPECT_EQ(guest.write("/new", "x"), "!EACCES");
    EXPECT_EQ(ask(guest, Type::kRm, "/dom0/secret"), "!EACCES");
    EXPECT_EQ(ask(guest, Type::kMkdir, "/dom0"), "!EACCES");
    EXPECT_EQ(ask(guest, Type::kGetPerms, "/dom0"), "!EACCES");
    EXPECT_EQ(ask(guest, Type::kDirectory, "/"), "!EACCES");
    EXPECT_EQ(ask(guest, Type::kSetPerms, "/dom0|b5"), "!EACCES");
    EXPECT_EQ(kernel.read("/dom0/secret"), "s");
    dom0.set_permissions("/dom0/secret", {{kDom0, Access::kRead}});
    EXPECT_EQ(guest.read("/dom0/secret"), "s");
    EXPECT_EQ(guest.write("/dom0/secret", "x"), "!EACCES");
    EXPECT_EQ(dom0.read("/dom0/secret"), "s");
}

TEST_F(RequestTest, PermissionsAreInheritedAndChanged) {
    EXPECT_EQ(ask(guest, Type::kGetPerms, "/local/domain/5"), "n5");
    guest.write("x", "");
    EXPECT_EQ(ask(guest, Type::kGetPerms, "x"), "n5");
    EXPECT_EQ(ask(guest, Type::kSetPerms, "x|n5|r6|b7"), "OK");
    guest.write("x/y", "");
    EXPECT_EQ(ask(guest, Type::kGetPerms, "x/y"), "n5|r6|b7");
    EXPECT_EQ(ask(guest, Type::kSetPerms, "x|n6"), "!EPERM") << "it may not give its node away";
    EXPECT_EQ(ask(kernel, Type::kSetPerms, "/local/domain/5/x|n6"), "OK");
    EXPECT_EQ(guest.read("x"), "!EACCES");
    EXPECT_EQ(ask(guest, Type::kSetPerms, "x/y"), "!EINVAL");
    EXPECT_EQ(ask(guest, Type::kSetPerms, "x/y|q5"), "!EINVAL");
    EXPECT_EQ(ask(guest, Type::kSetPerms, "x/nope|n5"), "!EACCES");
}

TEST_F(RequestTest, PrivilegedRequests) {
    EXPECT_EQ(ask(guest, Type::kIntroduce, "9|1|1"), "!EPERM");
    EXPECT_EQ(ask(guest, Type::kRelease, "6"), "!EPERM");
    EXPECT_EQ(ask(guest, Type::kResume, "5"), "!EPERM");
    EXPECT_EQ(ask(guest, Type::kSetTarget, "5|6"), "!EPERM");
    EXPECT_EQ(ask(guest, Type::kControl, "check"), "!EPERM");
    EXPECT_EQ(ask(kernel, Type::kIntroduce, "9|1|1"), "!ENOSYS") << "nobody said how to map its ring";
    EXPECT_EQ(ask(kernel, Type::kIntroduce, "0|1|1"), "!EINVAL");
    EXPECT_EQ(ask(kernel, Type::kIntroduce, "5|1|1"), "OK");
    EXPECT_EQ(ask(kernel, Type::kResume, "5"), "OK");
    EXPECT_EQ(ask(kernel, Type::kResume, "77"), "!ENOENT");
    EXPECT_EQ(ask(kernel, Type::kRelease, "0"), "!EINVAL");
    EXPECT_EQ(ask(kernel, Type::kRelease, "77"), "!ENOENT");
    EXPECT_EQ(ask(kernel, Type::kControl, "check"), "OK");
    EXPECT_EQ(ask(kernel, Type::kControl, "nonsense"), "!EINVAL");
    EXPECT_EQ(ask(kernel, Type::kIsDomainIntroduced, "5"), "T");
    EXPECT_EQ(ask(kernel, Type::kRelease, "5"), "OK");
    EXPECT_EQ(ask(kernel, Type::kIsDomainIntroduced, "5"), "F");
}

TEST_F(RequestTest, SetTargetLetsOneDomainServeAnother) {
    Guest& model = world.add_guest(6);
    guest.write("x", "1");
    EXPECT_EQ(model.read("/local/domain/5/x"), "!EACCES");
    EXPECT_EQ(ask(kernel, Type::kSetTarget, "6|0"), "!EINVAL");
    EXPECT_EQ(ask(kernel, Type::kSetTarget, "6|5"), "OK");
    EXPECT_EQ(model.read("/local/domain/5/x"), "1");
    EXPECT_EQ(model.write("/local/domain/5/y", "2"), "OK");
    world.service().release(DomId(5));
    world.add_guest(5);
    EXPECT_EQ(model.write("/local/domain/5/y", "2"), "!EACCES") << "the id now names another domain";
}

TEST_F(RequestTest, SmallQuestions) {
    EXPECT_EQ(ask(guest, Type::kGetDomainPath, "17"), "/local/domain/17");
    EXPECT_EQ(ask(guest, Type::kGetDomainPath, "x"), "!EINVAL");
    EXPECT_EQ(ask(guest, Type::kGetDomainPath, "65536"), "!EINVAL");
    EXPECT_EQ(ask(guest, Type::kIsDomainIntroduced, "5"), "T");
    EXPECT_EQ(ask(guest, Type::kIsDomainIntroduced, "6"), "F");
}

TEST_F(RequestTest, MalformedRequestsAreAnswered) {
    for (std::uint32_t type = 0; type != 30; ++type) {
        for (const std::string& payload :
             {std::string(), std::string("x"), std::string("\0", 1), std::string("//\0", 3),
              std::string("a\0b", 3), std::string(4096, 'a'), std::string(4096, '\0')}) {
            const Message answer = guest.call(static_cast<Type>(type), payload);
            EXPECT_TRUE(answer.header.type == type ||
                        answer.header.type == static_cast<std::uint32_t>(Type::kError));
        }
    }
    EXPECT_EQ(guest.ask(static_cast<Type>(20), ""), "!ENOSYS");
    EXPECT_EQ(guest.ask(static_cast<Type>(0xFFFFFFFF), ""), "!ENOSYS");
    EXPECT_EQ(guest.ask(Type::kWatchEvent, "a"), "!ENOSYS");
    EXPECT_EQ(guest.ask(Type::kRead, "no-zero-byte"), "!EINVAL");
    EXPECT_EQ(ask(guest, Type::kRead, "a|b"), "!EINVAL");
    EXPECT_EQ(world.client().read("/local/domain/5"), "");
}

TEST_F(RequestTest, DeadDomainsEntriesAreGoneBeforeTheIdIsUsedAgain) {
    Guest& neighbour = world.add_guest(6);
    guest.write("mine", "secret");
    dom0.write("/shared", "");
    dom0.set_permissions("/shared",
                         {{kDom0, Access::kNone}, {DomId(5), Access::kReadWrite}, {DomId(6), Access::kRead}});
    guest.write("/shared/by5", "x");
    ASSERT_EQ(ask(neighbour, Type::kSetPerms, "/local/domain/6|n6|r5"), "OK");
    ASSERT_GT(world.service().node_count(DomId(5)), 0u);
    world.service().release(DomId(5));
    EXPECT_EQ(world.service().node_count(DomId(5)), 0u);
    EXPECT_EQ(dom0.read("/shared/by5"), std::nullopt);
    EXPECT_EQ(dom0.permissions("/shared"), (Permissions{{kDom0, Access::kNone}, {DomId(6), Access::kRead}}));
    EXPECT_EQ(dom0.permissions("/local/domain/6"), (Permissions{{DomId(6), Access::kNone}}));
    Guest& again = world.add_guest(5);
    EXPECT_EQ(again.read("/shared"), "!EACCES");
    EXPECT_EQ(again.read("mine"), "!ENOENT");
}

TEST_F(RequestTest, RefusalsAreLoggedButNotWithoutEnd) {
    world.log_lines.clear();
    for (int i = 0; i != 100; ++i)
        guest.read("/forbidden");
    ASSERT_FALSE(world.log_lines.empty());
    EXPECT_EQ(world.log_lines.front(),
              "xenstore: domain 5: READ /forbidden refused: the node's permissions forbid it");
    EXPECT_LT(world.log_lines.size(), 10u);
    EXPECT_EQ(world.service().counters().refusals, 100u);
}

}  // namespace
}  // namespace torii::dom0::xenstore::test
