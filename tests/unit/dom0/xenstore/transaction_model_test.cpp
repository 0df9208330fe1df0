// Concurrent transactions against a model that has none: whatever commits must be what would have come out if
// it had run alone at the moment of its commit, and whatever is refused must have lost to somebody.

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "xenstore/path.h"
#include "xenstore_kit.h"

namespace torii::dom0::xenstore::test {
namespace {

struct Changed {
    std::string path;
    bool existence;  // made or removed, not merely written
};

// The store as a map, by the words of xenstore.txt. One client owns everything.
class Model {
public:
    Model() { nodes_["/"] = ""; }

    std::string run(Type type, const std::string& path, const std::string& value) {
        switch (type) {
            case Type::kRead:
                return nodes_.contains(path) ? nodes_[path] : "!ENOENT";
            case Type::kDirectory:
                return list(path);
            case Type::kWrite:
                make(path);
                nodes_[path] = value;
                history_.push_back({path, false});
                return "OK";
            case Type::kMkdir:
                make(path);
                return "OK";
            default:
                return remove(path);
        }
    }
    [[nodiscard]] const std::map<std::string, std::string>& nodes() const { return nodes_; }
    // Every change ever made, in order.
    [[nodiscard]] const std::vector<Changed>& history() const { return history_; }

private:
    void make(const std::string& path) {
        for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
            const std::string node = path.substr(0, end);
            if (nodes_.try_emplace(node).second) history_.push_back({node, true});
            if (end == std::string::npos) return;
        }
    }
    std::string list(const std::string& path) {
        if (!nodes_.contains(path)) return "!ENOENT";
        std::string names;
        for (const auto& [other, value] : nodes_) {
            if (other != "/" && parent_path(other) == path) names.append(leaf_name(other)).append("|");
        }
        if (!names.empty()) names.pop_back();
        return names;
    }
    std::string remove(const std::string& path) {
        if (!nodes_.contains(std::string(parent_path(path)))) return "!ENOENT";
        std::erase_if(nodes_, [&](const auto& node) {
            if (!is_at_or_below(node.first, path)) return false;
            history_.push_back({node.first, true});
            return true;
        });
        return "OK";
    }

    std::map<std::string, std::string> nodes_;
    std::vector<Changed> history_;
};

struct Operation {
    Type type;
    std::string path;
    std::string value;
    std::string answer;
};

struct OpenTransaction {
    Guest* guest;
    std::uint32_t id;
    std::vector<Operation> operations;
    std::size_t changes_before;
};

class ModelTest : public ::testing::TestWithParam<unsigned> {
protected:
    std::string random_path() {
        // Few names, so that transactions meet.
        std::string path;
        const unsigned depth = 1 + random_() % 3;
        for (unsigned i = 0; i != depth; ++i)
            path += std::string("/") + "abc"[random_() % 3];
        return path;
    }
    Operation random_operation() {
        constexpr Type kTypes[] = {Type::kRead,  Type::kRead,  Type::kDirectory, Type::kWrite,
                                   Type::kWrite, Type::kMkdir, Type::kRm};
        return {kTypes[random_() % std::size(kTypes)], random_path(), std::to_string(random_() % 1000), ""};
    }
    static std::string ask(Guest& guest, const Operation& operation, std::uint32_t transaction) {
        std::string payload = operation.path + '\0';
        if (operation.type == Type::kWrite) payload += operation.value;
        return with_bars(guest.ask(operation.type, payload, transaction));
    }
    // Whether the change can matter to the operation.
    static bool related(const Changed& changed, const Operation& operation) {
        if (changed.path == operation.path) return true;
        // Missing parents are made on the way, and nothing is left below what is removed.
        if (changed.existence && is_at_or_below(operation.path, changed.path)) return true;
        if (operation.type == Type::kRm) return is_at_or_below(changed.path, operation.path);
        return operation.type == Type::kDirectory && changed.existence &&
               parent_path(changed.path) == operation.path;
    }

    void commit(OpenTransaction& transaction) {
        const std::string answer = transaction.guest->end(transaction.id);
        if (answer == "OK") {
            ++committed_;
            for (const Operation& operation : transaction.operations) {
                ASSERT_EQ(model_.run(operation.type, operation.path, operation.value), operation.answer)
                    << "transaction " << transaction.id << " of domain " << transaction.guest->domain().raw()
                    << " could not have run alone: " << operation.path;
            }
            return;
        }
        ASSERT_EQ(answer, "!EAGAIN");
        ++refused_;
        for (std::size_t i = transaction.changes_before; i != model_.history().size(); ++i) {
            for (const Operation& operation : transaction.operations) {
                if (related(model_.history()[i], operation)) return;
            }
        }
        FAIL() << "refused although nobody changed what it used";
    }

    std::mt19937 random_{GetParam()};
    Model model_;
    unsigned committed_ = 0;
    unsigned refused_ = 0;
};

TEST_P(ModelTest, CommitsAreSerializable) {
    World world;
    // All are the control domain's equals here, so that permissions don't enter.
    world.client().set_permissions("/", {{kDom0, Access::kReadWrite}});
    Guest* guests[] = {&world.add_guest(0)};
    world.client().remove("/local");
    std::vector<OpenTransaction> open;
    for (int step = 0; step != 6000; ++step) {
        const unsigned choice = random_() % 10;
        if (open.size() < 4 && choice == 0) {
            Guest& guest = *guests[random_() % std::size(guests)];
            open.push_back({&guest, guest.start(), {}, model_.history().size()});
        } else if (!open.empty() && choice <= 7) {
            OpenTransaction& transaction = open[random_() % open.size()];
            Operation operation = random_operation();
            operation.answer = ask(*transaction.guest, operation, transaction.id);
            transaction.operations.push_back(operation);
        } else if (!open.empty() && choice == 8) {
            const std::size_t which = random_() % open.size();
            OpenTransaction ended = std::move(open[which]);
            open.erase(open.begin() + static_cast<std::ptrdiff_t>(which));
            if (random_() % 8 == 0) {
                EXPECT_EQ(ended.guest->end(ended.id, false), "OK");
            } else {
                ASSERT_NO_FATAL_FAILURE(commit(ended));
            }
        } else {
            const Operation operation = random_operation();
            ASSERT_EQ(ask(*guests[0], operation, 0),
                      model_.run(operation.type, operation.path, operation.value));
        }
    }
    for (const auto& [path, value] : model_.nodes())
        ASSERT_EQ(world.client().read(path), value) << path;
    EXPECT_EQ(world.service().counters().nodes, model_.nodes().size());
    EXPECT_EQ(with_bars(guests[0]->ask(Type::kControl, zero_terminated("check"))), "OK");
    EXPECT_GT(committed_, 50u);
    EXPECT_GT(refused_, 20u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelTest, ::testing::Range(1u, 9u));

}  // namespace
}  // namespace torii::dom0::xenstore::test
