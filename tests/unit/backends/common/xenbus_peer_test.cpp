#include "common/xenbus_peer.h"

#include <gtest/gtest.h>

#include <random>

#include "unit/backends/kit/fake_store.h"

namespace torii::backend::test {
namespace {

class Peer : public testing::Test {
protected:
    Peer() { make(); }
    void make() {
        XenbusPeer::Actions actions;
        actions.connect = [this] {
            ++connects;
            if (answer) peer->connected({{"sectors", "8"}});
        };
        actions.disconnect = [this] {
            ++disconnects;
            if (answer) peer->disconnected();
        };
        actions.gone = [this] { ++gone; };
        peer = std::make_unique<XenbusPeer>(store, "/b", "/f", actions);
    }
    void frontend(const std::string& state) {
        store.set("/f/state", state);
        store.run();
    }
    std::string state() { return store.get("/b/state"); }
    void connect() {
        peer->offer({{"feature", "1"}});
        frontend("1");
        frontend("3");
        frontend("4");
    }

    FakeStore store;
    bool answer = true;
    int connects = 0;
    int disconnects = 0;
    int gone = 0;
    std::unique_ptr<XenbusPeer> peer;
};

TEST_F(Peer, ConnectsOnce) {
    peer->offer({{"feature", "1"}});
    EXPECT_EQ(state(), "2");
    EXPECT_EQ(store.get("/b/feature"), "1");
    frontend("1");
    EXPECT_EQ(connects, 0);
    frontend("3");
    EXPECT_EQ(state(), "4");
    EXPECT_EQ(store.get("/b/sectors"), "8");
    frontend("4");
    frontend("3");
    EXPECT_EQ(connects, 1);
    EXPECT_EQ(disconnects, 0);
}

TEST_F(Peer, ServesUntilTheFrontendIsClosedAndTakesItBack) {
    connect();
    frontend("5");
    EXPECT_EQ(state(), "5");
    EXPECT_EQ(disconnects, 0);
    frontend("6");
    EXPECT_EQ(disconnects, 1);
    EXPECT_EQ(state(), "6");
    frontend("1");
    EXPECT_EQ(state(), "2");
    frontend("3");
    EXPECT_EQ(connects, 2);
    // Another kernel begins anew without closing.
    frontend("1");
    EXPECT_EQ(disconnects, 2);
    EXPECT_EQ(state(), "2");
}

TEST_F(Peer, AFrontendThatFailedMustLeaveBeforeItComesBack) {
    answer = false;
    peer->offer({});
    frontend("3");
    peer->failed("its ring-ref is no number");
    EXPECT_EQ(state(), "5");
    EXPECT_EQ(store.get("/b/error"), "its ring-ref is no number");
    EXPECT_EQ(peer->problem(), "its ring-ref is no number");
    for (const char* again : {"4", "3", "4"})
        frontend(again);
    EXPECT_EQ(connects, 1);
    frontend("6");
    EXPECT_EQ(state(), "6");
    frontend("3");
    EXPECT_EQ(connects, 2);
    EXPECT_FALSE(store.read("/b/error")) << "it was of the connection before";
    EXPECT_EQ(peer->problem(), "");
}

TEST_F(Peer, ABrokenProtocolDisconnectsFirst) {
    connect();
    answer = false;
    peer->failed("it broke the ring");
    EXPECT_EQ(disconnects, 1);
    EXPECT_EQ(state(), "4");
    peer->disconnected();
    EXPECT_EQ(state(), "5");
    EXPECT_EQ(store.get("/b/error"), "it broke the ring");
}

TEST_F(Peer, WhyItClosedIsToldAtOnceAndByASuccessor) {
    connect();
    EXPECT_EQ(peer->problem(), "");
    answer = false;
    peer->failed("it broke the ring");
    EXPECT_EQ(peer->problem(), "it broke the ring") << "while it disconnects";
    peer->disconnected();
    make();
    peer->offer({});
    EXPECT_EQ(peer->problem(), "it broke the ring");
    for (const char* state : {"5", "6"})
        frontend(state);
    EXPECT_EQ(peer->problem(), "it broke the ring") << "the driver has gone, and has not come back";
    frontend("1");
    EXPECT_EQ(peer->problem(), "");
}

TEST_F(Peer, DetachAsksAndWaits) {
    connect();
    peer->close(false);
    EXPECT_EQ(state(), "5");
    EXPECT_EQ(store.get("/b/online"), "0");
    EXPECT_EQ(disconnects, 0);
    frontend("5");
    EXPECT_EQ(disconnects, 0);
    frontend("6");
    EXPECT_EQ(disconnects, 1);
    EXPECT_EQ(gone, 1);
    EXPECT_EQ(state(), "6");
    EXPECT_EQ(store.watches(), 0u);
}

TEST_F(Peer, DetachByForceAsksNobody) {
    connect();
    answer = false;
    peer->close(false);
    peer->close(true);
    EXPECT_EQ(disconnects, 1);
    EXPECT_EQ(gone, 0);
    peer->disconnected();
    EXPECT_EQ(gone, 1);
    peer->close(true);
    EXPECT_EQ(gone, 1);
}

TEST_F(Peer, DetachBeforeOrWhileConnecting) {
    peer->close(false);
    EXPECT_EQ(gone, 1);
    make();
    peer->offer({});
    peer->close(false);
    EXPECT_EQ(gone, 2);
    make();
    answer = false;
    peer->offer({});
    frontend("3");
    peer->close(false);
    EXPECT_EQ(gone, 2);
    peer->connected({});
    EXPECT_EQ(state(), "5") << "it is asked to close as soon as it is connected";
    frontend("6");
    peer->disconnected();
    EXPECT_EQ(gone, 3);
}

TEST_F(Peer, TakesOverWhatIsConnected) {
    store.set("/b/state", "4");
    store.set("/f/state", "4");
    const size_t writes = store.write_calls;
    peer->take_over({}, {{"sectors", "8"}});
    store.run();
    EXPECT_EQ(store.write_calls, writes) << "the guest sees nothing of it";
    frontend("6");
    EXPECT_EQ(disconnects, 1);
    make();
    store.set("/b/state", "2");
    store.set("/f/state", "3");
    peer->take_over({}, {{"sectors", "9"}});
    EXPECT_EQ(state(), "4") << "the earlier process died before it said so";
    EXPECT_EQ(store.get("/b/sectors"), "9");
}

TEST_F(Peer, ARemovedFrontendIsAClosedOne) {
    connect();
    store.remove("/f");
    store.run();
    EXPECT_EQ(disconnects, 1);
    EXPECT_EQ(state(), "6");
}

TEST_F(Peer, NumbersAndTextsOfTheFrontendAreStrict) {
    for (const char* wrong : {"", " 1", "1 ", "-1", "+1", "0x1", "99", "18446744073709551616", "1\n"}) {
        store.set("/f/n", wrong);
        EXPECT_FALSE(peer->frontend_number("n", 98)) << wrong;
    }
    store.set("/f/n", "98");
    EXPECT_EQ(peer->frontend_number("n", 98), 98u);
    EXPECT_FALSE(peer->frontend_number("none", 98));
    store.set("/f/t", "abc");
    EXPECT_EQ(peer->frontend_text("t", 3), "abc");
    EXPECT_FALSE(peer->frontend_text("t", 2));
    store.set("/f/t", std::string("a\0b", 3));
    EXPECT_FALSE(peer->frontend_text("t", 9));
}

// Whatever the frontend writes and whenever answers come: connect and disconnect alternate, and a detach
// ends.
TEST_F(Peer, AnyStatesInAnyOrder) {
    std::mt19937 random(3);
    const char* const states[] = {"0", "1", "2", "3", "4", "5", "6", "7", "9", "x", ""};
    answer = false;
    for (unsigned game = 0; game < 300; ++game) {
        make();
        store.remove("/b");
        connects = disconnects = gone = 0;
        peer->offer({});
        for (unsigned i = 0; i < 60; ++i) {
            const XenbusPeer::Phase phase = peer->phase();
            switch (random() % 8) {
                case 0:
                    if (phase == XenbusPeer::Phase::kConnecting) peer->connected({});
                    break;
                case 1:
                    if (phase == XenbusPeer::Phase::kConnecting) peer->failed("no");
                    break;
                case 2:
                    if (phase == XenbusPeer::Phase::kDisconnecting) peer->disconnected();
                    break;
                case 3:
                    if (phase == XenbusPeer::Phase::kConnected && random() % 4 == 0) peer->failed("no");
                    break;
                case 4:
                    store.remove("/f");
                    break;
                default:
                    frontend(states[random() % std::size(states)]);
            }
            store.run();
            ASSERT_LE(disconnects, connects);
        }
        peer->close(true);
        if (peer->phase() == XenbusPeer::Phase::kConnecting) peer->connected({});
        if (peer->phase() == XenbusPeer::Phase::kDisconnecting) peer->disconnected();
        ASSERT_EQ(gone, 1) << game;
    }
}

}  // namespace
}  // namespace torii::backend::test
