// `torii guests`: builders that are done at once, and guests that do what their control nodes say.

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "connection.h"
#include "unit/cli/command_line.h"

namespace torii::cli {
namespace {

using dom0::test::FakeDomain;
using test::Answer;
using Names = std::vector<std::string>;

class Guests : public test::CommandLine {
protected:
    void SetUp() override {
        Lifecycle::SetUp();
        FakeDomain own;
        own.id = 0;
        own.vcpus = 1;
        own.paused = false;
        fake_.domains[0] = own;
        restart_daemon();
        std::filesystem::create_directory(auto_);
        daemon_->on_request = [this] { boot(); };
        watch_ = daemon_->store.client().watch("/local/domain", [this](const std::string&) { let_follow(); });
        daemon_->settle();
    }
    void TearDown() override { watch_ = {}; }

    void boot() {
        const std::string name = daemon_->requests.back().config().name();
        started_.push_back(name);
        const uint16_t id = build().id;
        names_[id] = name;
        if (!deaf_.contains(name)) daemon_->store.client().write(control(id) + "feature-poweroff", "1");
    }
    void let_follow() {
        for (const auto& [id, name] : names_) {
            if (stubborn_.contains(name) || !fake_.domains.contains(id) || fake_.domain(id).shut_down)
                continue;
            if (node(control(id) + "shutdown") != "poweroff") continue;
            fake_.domain(id).shut_down = true;
            fake_.domain(id).shutdown_reason = static_cast<uint32_t>(abi::ShutdownReason::kPoweroff);
            ended_.push_back(name);
            boost::asio::post(daemon_->context, [this] { manager().check_domains(); });
        }
    }
    static std::string control(uint16_t id) { return "/local/domain/" + std::to_string(id) + "/control/"; }

    void describe(const std::string& file, const std::string& name, const std::string& more = "") {
        std::filesystem::create_directories((auto_ / file).parent_path());
        std::ofstream(auto_ / file) << "name = \"" << name << "\"\nkernel = \"vmlinuz\"\nmemory = \"8M\"\n"
                                    << more;
    }
    Answer start() { return torii({"guests", "start", "--folder", auto_.string()}); }
    Answer stop(const std::string& limit = "60") {
        return torii({"guests", "stop", "--folder", auto_.string(), "--limit", limit});
    }
    void create_by_hand(const std::string& name, const std::string& more = "") {
        describe("../by-hand/" + name + ".toml", name, more);
        const Answer answer = torii({"create", (auto_ / ("../by-hand/" + name + ".toml")).string()});
        ASSERT_EQ(answer.status, 0) << answer.error;
    }
    Names listed() {
        Names names;
        for (const v1::Domain& domain : manager().list()) {
            if (domain.active() && domain.domid() != 0) names.push_back(domain.name());
        }
        return names;
    }

    std::filesystem::path auto_ = folder_.path() / "auto";
    std::map<uint16_t, std::string> names_;
    std::set<std::string> deaf_;      // never listen
    std::set<std::string> stubborn_;  // listen, and go on
    Names started_;
    Names ended_;
    dom0::xenstore::LocalWatch watch_;
};

TEST_F(Guests, StartInTheOrderOfTheirFilesAndOnce) {
    describe("20-web.toml", "web");
    describe("10-db.toml", "db");
    describe("30-off.toml.disabled", "off");
    std::ofstream(auto_ / "README") << "not a description";
    const Answer first = start();
    EXPECT_EQ(first.status, 0) << first.error;
    EXPECT_EQ(started_, (Names{"db", "web"}));
    EXPECT_NE(first.out.find("db runs as domain 1\nweb runs as domain 2\n"), std::string::npos) << first.out;
    const Answer again = start();
    EXPECT_EQ(again.status, 0);
    EXPECT_EQ(again.out, "db runs already\nweb runs already\n");
    EXPECT_EQ(started_.size(), 2u);
}

TEST_F(Guests, OneThatCannotBeStartedKeepsNoOtherFromIt) {
    describe("10-db.toml", "db");
    describe("15-wrong.toml", "wrong", "colour = 1\n");
    std::ofstream(auto_ / "16-nameless.toml") << "memory = 64\n";
    describe("20-web.toml", "web");
    const Answer answer = start();
    EXPECT_EQ(answer.status, 2);
    EXPECT_NE(answer.error.find("15-wrong.toml:4: unknown key \"colour\""), std::string::npos)
        << answer.error;
    EXPECT_NE(answer.error.find("16-nameless.toml: the domain needs a name"), std::string::npos);
    EXPECT_NE(answer.error.find("2 of the 4 guests"), std::string::npos);
    EXPECT_EQ(listed(), (Names{"db", "web"}));
}

TEST_F(Guests, AFolderThatIsNotThereIsTold) {
    expect_refused(torii({"guests", "start", "--folder", "/no/such/folder"}), 1,
                   {"/no/such/folder", "No such file", "--folder"});
    EXPECT_EQ(start().status, 0);  // an empty one is nothing to do
}

TEST_F(Guests, PathsAreThoseOfTheFileBehindALink) {
    describe("../by-hand/web.toml", "web");
    std::filesystem::create_symlink("../by-hand/web.toml", auto_ / "10-web.toml");
    EXPECT_EQ(start().status, 0);
    EXPECT_EQ(daemon_->requests.back().config().kernel(),
              (std::filesystem::canonical(folder_.path()) / "by-hand/vmlinuz").string());
}

TEST_F(Guests, StopInTheOppositeOrder) {
    describe("10-db.toml", "db");
    describe("20-web.toml", "web");
    EXPECT_EQ(start().status, 0);
    create_by_hand("hand1");
    create_by_hand("hand2");
    const Answer answer = stop();
    EXPECT_EQ(answer.status, 0) << answer.error;
    EXPECT_EQ(ended_, (Names{"hand2", "hand1", "web", "db"}));
    EXPECT_TRUE(listed().empty());
    EXPECT_EQ(stop().out, "");
}

// A guest that was started again is the newest, but what needs it still goes first.
TEST_F(Guests, ARebootDoesNotChangeTheOrder) {
    describe("10-db.toml", "db");
    describe("20-web.toml", "web");
    EXPECT_EQ(start().status, 0);
    guest_ends(fake_.domain(1), abi::ShutdownReason::kReboot);
    ASSERT_EQ(started_, (Names{"db", "web", "db"}));
    EXPECT_EQ(stop().status, 0);
    EXPECT_EQ(ended_, (Names{"web", "db"}));
}

TEST_F(Guests, WhoUsesItsTimeUpIsDestroyedAndTheOthersHaveTheirs) {
    stubborn_ = {"web"};
    deaf_ = {"mute"};
    describe("10-db.toml", "db");
    describe("20-web.toml", "web");
    describe("30-mute.toml", "mute");
    EXPECT_EQ(start().status, 0);
    const auto before = std::chrono::steady_clock::now();
    const Answer answer = stop("3");
    EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(20));
    EXPECT_EQ(answer.status, 10);
    EXPECT_NE(answer.error.find("mute did not listen and was destroyed"), std::string::npos) << answer.error;
    EXPECT_NE(answer.error.find("web did not shut down within 1 s and was destroyed"), std::string::npos);
    EXPECT_NE(answer.error.find("2 of 3 guests had to be destroyed"), std::string::npos);
    EXPECT_EQ(ended_, (Names{"db"}));
    EXPECT_TRUE(listed().empty());
}

TEST_F(Guests, NoneComesBack) {
    create_by_hand("again", "on-poweroff = \"restart\"\n");
    create_by_hand("kept", "on-poweroff = \"preserve\"\n");
    EXPECT_EQ(stop().status, 0);
    daemon_->settle();
    EXPECT_EQ(ended_, (Names{"kept", "again"}));
    EXPECT_EQ(started_.size(), 2u);
    EXPECT_TRUE(listed().empty());
}

TEST_F(Guests, ThoseThatDoNotRunAreStoppedToo) {
    create_by_hand("crashed", "on-crash = \"preserve\"\n");
    guest_ends(fake_.domain(1), abi::ShutdownReason::kCrash);
    create_by_hand("waiting", "paused = true\n");
    const Answer answer = stop();
    EXPECT_EQ(answer.status, 0) << answer.error;
    EXPECT_EQ(ended_, (Names{"waiting"}));
    EXPECT_NE(answer.out.find("crashed did not run and is gone"), std::string::npos) << answer.out;
    EXPECT_TRUE(listed().empty());
}

// As while systemd restarts the daemon: the socket is there, and nobody accepts yet.
TEST_F(Guests, WhoAsksWhileTheDaemonIsAwayIsAnsweredByTheNext) {
    const std::string path = (folder_.path() / "handed-over.sock").string();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    dom0::FileDescriptor listening(::socket(AF_UNIX, SOCK_STREAM, 0));
    ASSERT_EQ(::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(::listen(listening.get(), 5), 0);
    v1::Reply reply;
    std::thread client([&] {
        Connection connection(path);
        v1::Request request;
        request.mutable_list();
        reply = connection.call(request);
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    dom0::Dispatcher dispatcher(manager(), daemon_->hypervisor, daemon_->store);
    {
        const dom0::ControlServer server(daemon_->context, dispatcher, std::move(listening));
        daemon_->settle();
        client.join();
    }
    EXPECT_EQ(reply.domains().domains_size(), 1);
    EXPECT_TRUE(std::filesystem::exists(path)) << "it is its maker's to remove";
}

}  // namespace
}  // namespace torii::cli
