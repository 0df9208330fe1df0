#include "control/session.h"

#include <sys/socket.h>
#include <torii/frame.h>
#include <unistd.h>

#include "control/dispatch.h"
#include "unit/dom0/kit/lifecycle_world.h"

namespace torii::dom0::test {
namespace {

class SessionTest : public Lifecycle {
protected:
    void SetUp() override {
        Lifecycle::SetUp();
        int ends[2];
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        client_ = FileDescriptor(ends[0]);
        boost::asio::local::stream_protocol::socket socket(daemon_->context);
        socket.assign(boost::asio::local::stream_protocol(), ends[1]);
        dispatcher_ = std::make_unique<Dispatcher>(manager(), daemon_->hypervisor, daemon_->store);
        session_ = std::make_shared<Session>(std::move(socket), *dispatcher_);
        session_->attach(kId,
                         {[this] { ended_ = true; }, [this](const std::string& data) { typed_ += data; }});
        session_->start();
    }
    void TearDown() override {
        client_ = {};
        daemon_->settle();
        session_.reset();
        Lifecycle::TearDown();
    }
    void ask(v1::Request request) {
        const std::string frame = encode_frame(request.SerializeAsString());
        ASSERT_EQ(::send(client_.get(), frame.data(), frame.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(frame.size()));
    }

    static constexpr uint64_t kId = 7;
    FileDescriptor client_;
    std::unique_ptr<Dispatcher> dispatcher_;
    std::shared_ptr<Session> session_;
    std::string typed_;
    bool ended_ = false;
};

// As `torii console --send` does, which exits when it has sent.
TEST_F(SessionTest, WhatAClientSentBeforeItLeftCounts) {
    ASSERT_EQ(::shutdown(client_.get(), SHUT_RD), 0);
    v1::Request list;
    list.set_id(1);
    list.mutable_list();
    ask(list);
    daemon_->settle();  // the answer can't be written
    v1::Request input;
    input.set_id(kId);
    input.mutable_console_input()->set_data("garbage\n");
    ask(input);
    daemon_->settle();
    EXPECT_EQ(typed_, "garbage\n");
    EXPECT_FALSE(ended_);
    client_ = {};
    daemon_->settle();
    EXPECT_TRUE(ended_);
}

}  // namespace
}  // namespace torii::dom0::test
