#include "xenstore/tree.h"

#include <gtest/gtest.h>

namespace torii::dom0::xenstore {
namespace {

PermissionsPtr owned_by(std::uint16_t domain) {
    return std::make_shared<const Permissions>(Permissions{{DomId(domain), Access::kNone}});
}

TEST(Tree, BeginsWithTheRoot) {
    const Tree tree;
    EXPECT_EQ(tree.node_count(), 1u);
    EXPECT_EQ(tree.owned_by(kDom0), 1u);
    EXPECT_NE(tree.find("/"), nullptr);
    EXPECT_EQ(tree.find("/a"), nullptr);
    EXPECT_EQ(tree.nearest_existing("/a/b"), "/");
}

TEST(Tree, KeepsChildrenSorted) {
    Tree tree;
    for (const std::string name : {"m", "a", "z", "b-1", "b", "B"})
        tree.create('/' + name, name, owned_by(0));
    std::vector<std::string> names;
    for (const NodePtr& child : tree.root().children)
        names.push_back(child->name);
    EXPECT_EQ(names, (std::vector<std::string>{"B", "a", "b", "b-1", "m", "z"}));
    EXPECT_EQ(tree.find("/b-1")->value, "b-1");
}

TEST(Tree, NearestExisting) {
    Tree tree;
    tree.create("/a", "", owned_by(0));
    tree.create("/a/b", "", owned_by(0));
    EXPECT_EQ(tree.nearest_existing("/a/b/c/d"), "/a/b");
    EXPECT_EQ(tree.nearest_existing("/a/bc"), "/a");
    EXPECT_EQ(tree.nearest_existing("/a/b"), "/a/b");
    EXPECT_EQ(tree.nearest_existing("/"), "/");
}

TEST(Tree, CountsOwners) {
    Tree tree;
    tree.create("/a", "", owned_by(5));
    tree.create("/a/b", "", owned_by(5));
    tree.create("/a/b/c", "", owned_by(6));
    EXPECT_EQ(tree.owned_by(DomId(5)), 2u);
    tree.set_permissions("/a/b", owned_by(7));
    EXPECT_EQ(tree.owned_by(DomId(5)), 1u);
    EXPECT_EQ(tree.owned_by(DomId(7)), 1u);
    tree.remove("/a/b");
    EXPECT_EQ(tree.owned_by(DomId(6)), 0u);
    EXPECT_EQ(tree.owned_by(DomId(7)), 0u);
    EXPECT_EQ(tree.node_count(), 2u);
}

TEST(Tree, SnapshotsDoNotChange) {
    Tree tree;
    tree.create("/a", "1", owned_by(5));
    tree.create("/a/b", "2", owned_by(5));
    const Tree snapshot = tree;
    tree.set_value("/a/b", "3");
    tree.create("/a/c", "4", owned_by(5));
    tree.set_permissions("/a", owned_by(6));
    EXPECT_EQ(snapshot.find("/a/b")->value, "2");
    EXPECT_EQ(snapshot.find("/a/c"), nullptr);
    EXPECT_EQ(snapshot.find("/a")->permissions->front().domain, DomId(5));
    EXPECT_EQ(snapshot.node_count(), 3u);
    EXPECT_EQ(snapshot.owned_by(DomId(5)), 2u);
    tree.remove("/a");
    EXPECT_EQ(snapshot.find("/a/b")->value, "2");
    EXPECT_EQ(tree.find("/a"), nullptr);
}

TEST(Tree, SharesWhatIsUntouched) {
    Tree tree;
    tree.create("/a", "", owned_by(0));
    tree.create("/b", "", owned_by(0));
    const Tree snapshot = tree;
    tree.set_value("/a", "x");
    EXPECT_EQ(snapshot.find("/b"), tree.find("/b"));
    EXPECT_NE(snapshot.find("/a"), tree.find("/a"));
    // Copied once, the path belongs to this tree alone and is changed in place.
    const Node* const own = tree.find("/a");
    tree.set_value("/a", "y");
    EXPECT_EQ(tree.find("/a"), own);
}

TEST(Tree, GenerationsTellWhichPartChanged) {
    Tree tree;
    tree.create("/a", "", owned_by(0));
    const auto before = *tree.find("/a");
    tree.create("/a/b", "", owned_by(0));
    EXPECT_EQ(tree.find("/a")->value_generation, before.value_generation);
    EXPECT_GT(tree.find("/a")->children_generation, before.children_generation);
    tree.set_value("/a", "x");
    EXPECT_GT(tree.find("/a")->value_generation, before.value_generation);
    EXPECT_EQ(tree.find("/a")->permissions_generation, before.permissions_generation);
    const auto children = tree.find("/a")->children_generation;
    tree.remove("/a/b");
    EXPECT_GT(tree.find("/a")->children_generation, children);
}

TEST(Tree, RestoreCreatesOrOverwrites) {
    Tree tree;
    tree.restore("/a", "1", owned_by(5), 17);
    EXPECT_EQ(tree.find("/a")->value, "1");
    EXPECT_GE(tree.generation(), 17u);
    tree.restore("/a", "2", owned_by(6), 18);
    EXPECT_EQ(tree.find("/a")->value, "2");
    EXPECT_EQ(tree.owned_by(DomId(5)), 0u);
    EXPECT_EQ(tree.owned_by(DomId(6)), 1u);
    EXPECT_EQ(tree.node_count(), 2u);
}

TEST(Tree, VisitsParentsFirst) {
    Tree tree;
    tree.create("/a", "", owned_by(0));
    tree.create("/a/b", "", owned_by(0));
    tree.create("/c", "", owned_by(0));
    std::vector<std::string> paths;
    for_each_node(tree.root(), "/", [&](const std::string& path, const Node&) { paths.push_back(path); });
    EXPECT_EQ(paths, (std::vector<std::string>{"/", "/a", "/a/b", "/c"}));
}

}  // namespace
}  // namespace torii::dom0::xenstore
