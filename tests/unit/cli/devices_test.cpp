// The verbs about disks and networks, with devices that have no back ends.

#include <boost/asio/post.hpp>

#include "unit/cli/command_line.h"

namespace torii::cli {
namespace {

using test::Answer;

class DeviceVerbs : public test::CommandLine {
protected:
    void SetUp() override {
        Lifecycle::SetUp();
        create("web1");
        factory_.closing = [this](const std::string& path) {
            boost::asio::post(daemon_->context, [this, path] { factory_.tell_closed(path); });
        };
    }
    void TearDown() override {
        factory_.closing = nullptr;
        factory_.opening = nullptr;
        Lifecycle::TearDown();
    }
    static bool has(const Answer& answer, const std::string& text) {
        return answer.out.find(text) != std::string::npos;
    }
};

TEST_F(DeviceVerbs, AttachShowDetach) {
    Answer answer = torii({"attach", "disk", "web1", "/images/a.raw", "--iops", "50"});
    EXPECT_EQ(answer.status, 0) << answer.error;
    EXPECT_EQ(answer.out, "xvda: /images/a.raw (raw), 1 MiB, connected\n");
    answer = torii({"--json", "attach", "net", "web1", "--forward", "tcp:2222:22", "--forward", "tcp:8080:80",
                    "--send-limit", "10M", "--receive-limit", "1G"});
    EXPECT_EQ(answer.status, 0) << answer.error;
    EXPECT_TRUE(has(answer, R"("forwards":["tcp:2222:22","tcp:8080:80"])")) << answer.out;
    EXPECT_EQ(factory_.last_net.from_guest().per_second(), 10u << 20);
    EXPECT_EQ(factory_.last_net.to_guest().per_second(), 1u << 30);
    answer = torii({"devices"});
    EXPECT_TRUE(has(answer, "web1    xvda    connected")) << answer.out;
    EXPECT_TRUE(has(answer, "nat 00:16:3e:")) << answer.out;
    EXPECT_TRUE(
        has(torii({"--json", "devices", "web1"}), R"({"device":"xvda","kind":"disk","state":"connected")"));
    EXPECT_TRUE(has(torii({"info", "web1"}), "xvda: /images/a.raw (raw), 1 MiB, connected"));
    EXPECT_TRUE(has(torii({"resize", "web1", "xvda"}), "2 MiB"));
    answer = torii({"detach", "web1", "xvda", "--force"});
    EXPECT_EQ(answer.status, 0) << answer.error;
    EXPECT_EQ(answer.out, "xvda of web1 is detached\n");
    EXPECT_FALSE(has(torii({"devices"}), "xvda"));
}

TEST_F(DeviceVerbs, AGuestThatKeepsItsDiskIsToldOf) {
    torii({"attach", "disk", "web1", "/images/a.raw"});
    const Answer answer = torii({"detach", "web1", "xvda", "--wait", "0.2"});
    expect_refused(answer, 10, {"web1 has not let go of xvda", "--force"});
    EXPECT_TRUE(has(torii({"devices", "web1"}), "closing"));
}

TEST_F(DeviceVerbs, WhatFailsWhileItIsOpenedIsTold) {
    factory_.opening = [this](const std::string& path) {
        boost::asio::post(daemon_->context,
                          [this, path] { factory_.tell_closed(path, "Another guest has the image."); });
    };
    expect_refused(torii({"attach", "disk", "web1", "/in-use"}), 1,
                   {"xvda could not be attached: Another guest has the image.", "torii detach web1 xvda"});
    EXPECT_TRUE(has(torii({"devices", "web1"}), "failed"));
    const Answer answer = torii({"detach", "web1", "xvda"});
    EXPECT_EQ(answer.status, 0) << answer.error;
    EXPECT_EQ(answer.out, "xvda of web1 is detached\n");
    EXPECT_FALSE(has(torii({"devices"}), "xvda"));
}

TEST_F(DeviceVerbs, ADiskThatStaysAsItIsIsToldOf) {
    torii({"attach", "disk", "web1", "/images/a.raw"});
    factory_.resize_problem = "Its image is smaller.";
    expect_refused(torii({"resize", "web1", "xvda"}), 7, {"Its image is smaller."});
    EXPECT_TRUE(has(torii({"devices", "web1"}), "xvda"));
}

TEST_F(DeviceVerbs, WhatCannotBe) {
    expect_refused(torii({"attach", "disk", "web1", "/missing"}), 1, {"cannot open /missing"});
    expect_refused(torii({"attach", "disk", "web2", "/a"}), 3, {"no domain \"web2\""});
    expect_refused(torii({"attach", "disk", "web1", "/a", "--device", "sda"}), 2,
                   {"\"sda\"", "xvda to xvdz"});
    expect_refused(torii({"attach", "net", "web1", "--attachment", "wire"}), 2, {"\"wire\"", "bridge=NAME"});
    expect_refused(torii({"attach", "net", "web1", "--attachment", "none", "--forward", "tcp:1:1"}), 2,
                   {"only a nat"});
    expect_refused(torii({"detach", "web1", "xvda"}), 2, {"no device xvda", "none"});
    expect_refused(torii({"attach"}), 2, {"`torii attach`: goes on with disk or net"});
    expect_refused(torii({"attach", "disk"}), 2, {"`torii attach disk`: DOMAIN is required"});
    expect_refused(torii({"attach", "web1", "/images/a.raw"}), 2,
                   {"`torii attach`: goes on with disk or net"});
    EXPECT_EQ(torii({"devices"}).status, 0);
}

}  // namespace
}  // namespace torii::cli
