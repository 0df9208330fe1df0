#include "xenstore/permissions.h"

#include <gtest/gtest.h>

#include "xenstore/path.h"

namespace torii::dom0::xenstore {
namespace {

constexpr Principal kGuest5{DomId(5), std::nullopt, false};
constexpr Principal kDeviceModel{DomId(6), DomId(5), false};
constexpr Principal kControl{kDom0, std::nullopt, true};

TEST(Permissions, OwnerMayDoEverything) {
    const Permissions permissions{{DomId(5), Access::kNone}};
    EXPECT_TRUE(is_allowed(permissions, kGuest5, Access::kReadWrite));
    EXPECT_TRUE(is_owner(permissions, kGuest5));
}

TEST(Permissions, FirstEntrySaysWhatOthersMay) {
    const Permissions permissions{{DomId(7), Access::kRead}};
    EXPECT_TRUE(is_allowed(permissions, kGuest5, Access::kRead));
    EXPECT_FALSE(is_allowed(permissions, kGuest5, Access::kWrite));
    EXPECT_FALSE(is_owner(permissions, kGuest5));
}

TEST(Permissions, OwnEntryReplacesTheDefault) {
    const Permissions permissions{{DomId(7), Access::kReadWrite}, {DomId(5), Access::kNone}};
    EXPECT_FALSE(is_allowed(permissions, kGuest5, Access::kRead));
    const Permissions opened{
        {DomId(7), Access::kNone}, {DomId(9), Access::kRead}, {DomId(5), Access::kWrite}};
    EXPECT_TRUE(is_allowed(opened, kGuest5, Access::kWrite));
    EXPECT_FALSE(is_allowed(opened, kGuest5, Access::kRead));
}

TEST(Permissions, TargetIsSpokenFor) {
    EXPECT_TRUE(is_allowed({{DomId(5), Access::kNone}}, kDeviceModel, Access::kReadWrite));
    EXPECT_FALSE(is_allowed({{DomId(4), Access::kNone}}, kDeviceModel, Access::kRead));
}

TEST(Permissions, ControlDomainPassesEverywhere) {
    EXPECT_TRUE(is_allowed({{DomId(5), Access::kNone}}, kControl, Access::kReadWrite));
}

TEST(Permissions, UnprivilegedCreatorOwnsWhatHeCreates) {
    const auto parent =
        std::make_shared<const Permissions>(Permissions{{kDom0, Access::kRead}, {DomId(5), Access::kWrite}});
    EXPECT_EQ(*inherit_permissions(parent, kGuest5),
              (Permissions{{DomId(5), Access::kRead}, {DomId(5), Access::kWrite}}));
    EXPECT_EQ(inherit_permissions(parent, kControl), parent);
}

TEST(Permissions, DeadDomainsLeaveNothing) {
    EXPECT_EQ(without_domain({{kDom0, Access::kRead}, {DomId(4), Access::kRead}}, DomId(5)), nullptr);
    EXPECT_EQ(*without_domain({{kDom0, Access::kRead}, {DomId(5), Access::kRead}}, DomId(5)),
              (Permissions{{kDom0, Access::kRead}}));
    EXPECT_EQ(*without_domain({{DomId(5), Access::kRead}, {DomId(4), Access::kRead}}, DomId(5)),
              (Permissions{{kDom0, Access::kRead}, {DomId(4), Access::kRead}}));
}

TEST(Permissions, TextForm) {
    for (const std::string text : {"n0", "r5", "w65535", "b17"}) {
        const auto permission = parse_permission(text);
        ASSERT_TRUE(permission) << text;
        EXPECT_EQ(format_permission(*permission), text);
    }
    for (const std::string text : {"", "r", "5", "x5", "r-1", "r65536", "r5x", "rr5", "r 5", "r+5"}) {
        EXPECT_FALSE(parse_permission(text)) << text;
    }
    EXPECT_EQ(format_permissions({{kDom0, Access::kRead}, {DomId(5), Access::kReadWrite}}),
              std::string("r0\0b5\0", 6));
}

TEST(Path, ValidAndInvalid) {
    for (const std::string path : {"/", "/a", "/a/b-c_d@e/0", "/local/domain/5"})
        EXPECT_TRUE(is_valid_path(path)) << path;
    for (const std::string path : {"", "a", "//", "/a/", "/a//b", "/a b", "/a.b", "/\x80", "/a\n", "/a:b"}) {
        EXPECT_FALSE(is_valid_path(path)) << path;
    }
    EXPECT_TRUE(is_valid_path('/' + std::string(3071, 'a')));
    EXPECT_FALSE(is_valid_path('/' + std::string(3072, 'a')));
}

TEST(Path, RelativePathsLieBelowTheDomain) {
    EXPECT_EQ(*resolve_path("device/vbd", DomId(5)), "/local/domain/5/device/vbd");
    EXPECT_EQ(*resolve_path("/x", DomId(5)), "/x");
    EXPECT_FALSE(resolve_path("", DomId(5)));
    EXPECT_FALSE(resolve_path("x/", DomId(5)));
    EXPECT_TRUE(resolve_path(std::string(2048, 'a'), DomId(5)));
    EXPECT_FALSE(resolve_path(std::string(2049, 'a'), DomId(5)));
}

TEST(Path, Parts) {
    EXPECT_EQ(parent_path("/a"), "/");
    EXPECT_EQ(parent_path("/a/b"), "/a");
    EXPECT_EQ(leaf_name("/a/b"), "b");
    EXPECT_TRUE(is_at_or_below("/a/b", "/a"));
    EXPECT_TRUE(is_at_or_below("/a", "/a"));
    EXPECT_TRUE(is_at_or_below("/a", "/"));
    EXPECT_FALSE(is_at_or_below("/ab", "/a"));
    EXPECT_EQ(join_path("/", "a"), "/a");
    EXPECT_EQ(join_path("/a", "b"), "/a/b");
}

}  // namespace
}  // namespace torii::dom0::xenstore
