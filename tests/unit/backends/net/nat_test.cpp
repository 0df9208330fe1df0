// The NAT helper as a process, with a port of the backend at its socket and the smallest TCP that can be a
// guest's: addresses, connections both ways, large segments, and connections that survive the daemon.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <torii/failure.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "net/headers.h"
#include "net/nat_port.h"
#include "net/net_device.h"
#include "net/offload.h"
#include "unit/backends/kit/fake_guest.h"
#include "unit/backends/kit/fake_store.h"
#include "unit/backends/net/packets.h"
#include "unit/backends/net/poll_loop.h"

namespace torii::backend::net {
namespace {

using namespace test;
using namespace torii::backend::test;
using namespace std::chrono_literals;

constexpr Ipv4Address kGuestIp{{10, 0, 2, 15}};
constexpr Ipv4Address kHostIp{{10, 0, 2, 2}};
constexpr MacAddress kGateway{{0x52, 0x55, 10, 0, 2, 2}};
constexpr uint8_t kSyn = 0x02;
constexpr uint8_t kAck = 0x10;

// A process, ended with the object.
class Helper {
public:
    explicit Helper(const std::string& socket) {
        process_ = ::fork();
        if (process_ == 0) {
            ::execl(TORII_NAT_PROGRAM, "torii-nat", "--socket", socket.c_str(), nullptr);
            ::_exit(99);
        }
    }
    ~Helper() {
        if (process_ > 0) ::kill(process_, SIGKILL);
        wait_for_end(1s);
    }
    pid_t process() const { return process_; }
    // Its exit code; -1 when it goes on.
    int wait_for_end(std::chrono::seconds limit) {
        int status = -1;
        for (auto left = limit / 10ms; process_ > 0 && left > 0; --left) {
            if (::waitpid(process_, &status, WNOHANG) == process_) {
                process_ = 0;
                return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
            }
            std::this_thread::sleep_for(10ms);
        }
        return -1;
    }

private:
    pid_t process_ = 0;
};

int host_socket(bool listening, uint16_t& port) {
    const int file = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(file, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    if (listening) {
        EXPECT_EQ(::listen(file, 4), 0);
    }
    socklen_t length = sizeof(address);
    ::getsockname(file, reinterpret_cast<sockaddr*>(&address), &length);
    port = ntohs(address.sin_port);
    const timeval limit{10, 0};
    ::setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return file;
}

class Nat : public testing::Test, public PortUser {
protected:
    Nat() {
        std::string name = "/dev/shm/torii-nat-test-XXXXXX";
        folder_ = ::mkdtemp(name.data());
        attachment_ = {.socket_path = folder_ / "nat.sock", .forwards = {}, .host_loopback = true};
        helper_ = std::make_unique<Helper>(attachment_.socket_path);
        open_port();
    }
    ~Nat() override {
        port_.reset();
        loop_.reset();
        helper_.reset();
        std::filesystem::remove_all(folder_);
    }

    // A daemon begins; the one before is gone without a word.
    void open_port() {
        port_.reset();
        loop_ = std::make_unique<PollLoop>();
        up_ = false;
        port_ = std::make_unique<NatPort>(*loop_, attachment_, uint16_t{1500}, *this, [this] { ++wanted_; });
        ASSERT_TRUE(run_until([this] { return up_; }));
        // libslirp knows who has the address from this.
        send_frame(make_arp(kMacA, kMacA, kGuestIp, kHostIp));
    }

    bool run_until(const std::function<bool()>& done) { return loop_->run_until(done); }

    void send_frame(const Bytes& bytes, size_t segment_size = 0) {
        FramePtr frame = Frame::copy_of(bytes);
        if (segment_size != 0) {
            frame->info.checksum = Checksum::kPartial;
            ASSERT_TRUE(prepare_checksum(*frame));
            frame->info.gso = Gso::kTcpV4;
            frame->info.gso_size = static_cast<uint16_t>(segment_size);
            ASSERT_TRUE(prepare_gso(*frame));
        }
        std::vector<FramePtr> shaped;
        shape(std::move(frame), port_->takes(), shaped);
        for (FramePtr& piece : shaped)
            ASSERT_TRUE(port_->send(std::move(piece)));
        port_->flush();
    }

    Bytes tcp(uint16_t source, uint16_t destination, uint32_t sequence, uint32_t acknowledged, uint8_t flags,
              const Bytes& payload = {}) {
        PacketOptions options;
        options.destination = kGateway;
        options.source4 = kGuestIp;
        options.destination4 = kHostIp;
        options.source_port = source;
        options.destination_port = destination;
        options.sequence = sequence;
        options.tcp_flags = flags;
        const FramePtr frame = Frame::copy_of(make_packet(options, payload));
        write_be32(frame->data() + 14 + 20 + 8, acknowledged);
        write_be16(frame->data() + 14 + 20 + 14, 60000);
        EXPECT_TRUE(prepare_checksum(*frame));
        complete_checksum(*frame);
        return {frame->data(), frame->data() + frame->size()};
    }

    std::string change(const PortForward& which, bool add) {
        std::optional<std::string> answer;
        port_->change_forward(which, add, [&](const std::string& problem) { answer = problem; });
        run_until([&] { return answer.has_value(); });
        return answer.value_or("no answer");
    }

    // The next TCP packet for that port of the guest, with all of `flags`, or with payload.
    std::optional<Inspected> wait_tcp(uint16_t port, uint8_t flags, bool payload = false) {
        std::optional<Inspected> result;
        run_until([&] {
            for (; !result && !arrived_.empty(); arrived_.erase(arrived_.begin())) {
                const Bytes& frame = arrived_.front();
                if (frame.size() < 54 || read_be16(frame.data() + 12) != 0x0800 || frame[14 + 9] != 6)
                    continue;
                const Inspected found = inspect(frame);
                EXPECT_TRUE(found.transport_checksum_right && found.ip_checksum_right);
                if (read_be16(frame.data() + found.transport + 2) != port) continue;
                if ((found.tcp_flags & flags) != flags || (payload && found.payload.empty())) continue;
                result = found;
                peer_port_ = read_be16(frame.data() + found.transport);
            }
            return result.has_value();
        });
        return result;
    }

    void receive(FramePtr frame) override {
        arrived_.emplace_back(frame->bytes().begin(), frame->bytes().end());
    }
    void burst_ended() override {}
    void port_ready() override {}
    void link_changed(bool up) override { up_ = up; }
    void trouble(const std::string& sentence) override { troubles_.push_back(sentence); }

    std::filesystem::path folder_;
    NatAttachment attachment_;
    std::unique_ptr<Helper> helper_;
    std::unique_ptr<PollLoop> loop_;
    std::unique_ptr<NatPort> port_;
    std::vector<Bytes> arrived_;
    std::vector<std::string> troubles_;
    uint16_t peer_port_ = 0;
    bool up_ = false;
    size_t wanted_ = 0;
};

TEST_F(Nat, GivesAddresses) {
    Bytes request(240 + 4, 0);
    request[0] = 1;  // BOOTREQUEST, Ethernet
    request[1] = 1;
    request[2] = 6;
    std::copy(kMacA.bytes.begin(), kMacA.bytes.end(), request.begin() + 28);
    const uint8_t options[] = {0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255};  // cookie; discover; end
    std::copy(std::begin(options), std::end(options), request.begin() + 236);
    PacketOptions packet;
    packet.tcp = false;
    packet.destination = {{255, 255, 255, 255, 255, 255}};
    packet.source4 = {};
    packet.destination4 = {{255, 255, 255, 255}};
    packet.source_port = 68;
    packet.destination_port = 67;
    send_frame(make_packet(packet, request));
    Bytes offer;
    ASSERT_TRUE(run_until([&] {
        for (const Bytes& frame : arrived_)
            if (frame.size() > 300 && frame[14 + 9] == 17 && read_be16(frame.data() + 36) == 68)
                offer = frame;
        return !offer.empty();
    }));
    EXPECT_EQ(read_address<Ipv4Address>(offer.data() + 42 + 16), kGuestIp);
}

TEST_F(Nat, HasNoPrivileges) {
    std::ifstream status("/proc/" + std::to_string(helper_->process()) + "/status");
    std::string text((std::istreambuf_iterator<char>(status)), {});
    EXPECT_NE(text.find("NoNewPrivs:\t1"), std::string::npos);
    EXPECT_NE(text.find("CapEff:\t0000000000000000"), std::string::npos);
    EXPECT_NE(text.find("CapPrm:\t0000000000000000"), std::string::npos);
    EXPECT_EQ(text.find("Uid:\t0"), std::string::npos);
    if (::geteuid() == 0) {
        EXPECT_NE(text.find("Groups:\t \n"), std::string::npos) << text;
    }
}

TEST_F(Nat, ConnectionsSurviveTheDaemonAndLargeSegmentsAreExact) {
    uint16_t port = 0;
    const int server = host_socket(true, port);
    send_frame(tcp(4000, port, 100, 0, kSyn));
    const auto synack = wait_tcp(4000, kSyn | kAck);
    ASSERT_TRUE(synack);
    uint32_t theirs = synack->sequence + 1;
    send_frame(tcp(4000, port, 101, theirs, kAck));
    const int connection = ::accept(server, nullptr, nullptr);
    ASSERT_GE(connection, 0);
    const timeval limit{10, 0};
    ::setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));

    std::mt19937 random(5);
    const Bytes large = random_bytes(random, 20'001);
    send_frame(tcp(4000, port, 101, theirs, kAck, large), 1448);
    Bytes got(large.size());
    size_t length = 0;
    run_until([&] {
        const ssize_t count = ::recv(connection, got.data() + length, got.size() - length, MSG_DONTWAIT);
        if (count > 0) length += static_cast<size_t>(count);
        return length == got.size();
    });
    EXPECT_EQ(got, large);

    // The daemon is killed; something comes meanwhile; another one starts.
    port_.reset();
    ASSERT_EQ(::send(connection, "hello", 5, MSG_NOSIGNAL), 5);
    std::this_thread::sleep_for(200ms);
    arrived_.clear();
    open_port();
    const auto data = wait_tcp(4000, kAck, true);
    ASSERT_TRUE(data) << "sent again, since nobody acknowledged it";
    EXPECT_EQ(data->payload, (Bytes{'h', 'e', 'l', 'l', 'o'}));
    EXPECT_EQ(data->sequence, theirs);
    theirs += 5;
    send_frame(tcp(4000, port, 101 + static_cast<uint32_t>(large.size()), theirs, kAck, {'y', 'o'}));
    char answer[2] = {};
    run_until([&] { return ::recv(connection, answer, 2, MSG_DONTWAIT) == 2; });
    EXPECT_EQ(std::string(answer, 2), "yo");
    ::close(connection);
    ::close(server);
}

TEST_F(Nat, ForwardsPortsAndSaysWhyNot) {
    uint16_t free_port = 0;
    ::close(host_socket(false, free_port));
    const PortForward forward = parse_port_forward("tcp:127.0.0.1:" + std::to_string(free_port) + ":22");
    ASSERT_EQ(change(forward, true), "");
    EXPECT_EQ(change(forward, true), "") << "the same again is no mistake";

    const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(free_port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::connect(client, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    const auto syn = wait_tcp(22, kSyn);
    ASSERT_TRUE(syn);
    send_frame(tcp(22, peer_port_, 700, syn->sequence + 1, kSyn | kAck));
    send_frame(tcp(22, peer_port_, 701, syn->sequence + 1, kAck, {'S', 'S', 'H'}));
    char text[3] = {};
    run_until([&] { return ::recv(client, text, 3, MSG_DONTWAIT) == 3; });
    EXPECT_EQ(std::string(text, 3), "SSH");
    ::close(client);

    uint16_t taken = 0;
    const int server = host_socket(true, taken);
    const std::string busy =
        change(parse_port_forward("tcp:127.0.0.1:" + std::to_string(taken) + ":80"), true);
    EXPECT_NE(busy.find("in use"), std::string::npos) << busy;
    ::close(server);
    EXPECT_EQ(change(forward, false), "");
    EXPECT_NE(change(forward, false), "");
}

TEST_F(Nat, ManyMayConnectToAForwardedPortAtOnce) {
    uint16_t free_port = 0;
    ::close(host_socket(false, free_port));
    ASSERT_EQ(change(parse_port_forward("tcp:127.0.0.1:" + std::to_string(free_port) + ":22"), true), "");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(free_port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    // The helper accepts none of them.
    ::kill(helper_->process(), SIGSTOP);
    std::vector<pollfd> clients(20);
    for (pollfd& client : clients) {
        client = {.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                  .events = POLLOUT,
                  .revents = 0};
        ::connect(client.fd, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    }
    for (pollfd& client : clients) {
        // The kernel would try again after a second.
        EXPECT_EQ(::poll(&client, 1, 500), 1);
        EXPECT_EQ(client.revents, POLLOUT);
        ::close(client.fd);
    }
    ::kill(helper_->process(), SIGCONT);
}

TEST_F(Nat, AHelperThatDiesIsAskedForAndFoundAgain) {
    ::kill(helper_->process(), SIGKILL);
    ASSERT_TRUE(run_until([this] { return !up_ && wanted_ != 0; }));
    EXPECT_FALSE(port_->link());
    helper_.reset();
    helper_ = std::make_unique<Helper>(attachment_.socket_path);
    EXPECT_TRUE(run_until([this] { return up_; }));
}

// A device's thread and the daemon's loop in one.
class OneThread final : public DeviceThread {
public:
    explicit OneThread(PollLoop& loop)
        : loop_(loop), channels_([this](std::function<void()> action) { loop_.post(std::move(action)); }) {}
    IoLoop& loop() override { return loop_; }
    EventChannels& event_channels() override { return channels_; }
    std::unique_ptr<GuestMemory> open_memory(DomId) override {
        throw std::logic_error("no guest connects here");
    }

private:
    PollLoop& loop_;
    FakeEventChannels channels_;
};

TEST_F(Nat, AForwardThatFailedIsAProblemOfItsDeviceUntilTheNextHelper) {
    port_.reset();
    uint16_t taken = 0;
    const int server = host_socket(true, taken);
    attachment_.forwards = {parse_port_forward("tcp:127.0.0.1:" + std::to_string(taken) + ":80")};
    NetConfig config;
    config.backend_path = "backend";
    config.frontend_path = "frontend";
    config.domid = DomId(3);
    config.mac = kMacA;
    config.attachment = attachment_;
    FakeStore store;
    const auto thread = std::make_shared<OneThread>(*loop_);
    std::vector<std::string> log;
    NetDevice device(config, thread, store,
                     [this](std::function<void()> action) { loop_->post(std::move(action)); },
                     {.state_changed = nullptr,
                      .closed = nullptr,
                      .trouble = [&](const std::string& sentence) { log.push_back(sentence); },
                      .nat_helper_wanted = nullptr});
    ASSERT_TRUE(run_until([&] { return !device.problem().empty(); }));
    EXPECT_NE(device.problem().find("in use"), std::string::npos) << device.problem();
    EXPECT_EQ(log, std::vector<std::string>{device.problem()});

    ::close(server);
    helper_.reset();
    helper_ = std::make_unique<Helper>(attachment_.socket_path);
    EXPECT_TRUE(run_until([&] { return device.problem().empty(); }));
    device.close(true);
    run_until([&] { return device.state() == NetState::kClosed; });
}

TEST_F(Nat, EndsWhenTold) {
    EXPECT_EQ(helper_->wait_for_end(1s), -1);
    port_->end();
    EXPECT_EQ(helper_->wait_for_end(10s), 0);
}

TEST_F(Nat, EndsForAnyDaemonThatDoesNotKnowItsGuest) {
    EXPECT_FALSE(end_nat_helper(folder_ / "another.sock"));
    EXPECT_TRUE(end_nat_helper(attachment_.socket_path));
    EXPECT_EQ(helper_->wait_for_end(10s), 0);
}

TEST_F(Nat, ASecondHelperDoesNotPushTheFirstAside) {
    Helper second(attachment_.socket_path);
    EXPECT_EQ(second.wait_for_end(10s), 1);
    EXPECT_TRUE(run_until([this] { return up_; }));
}

TEST(PortForwards, AreReadAndWritten) {
    for (const char* const text : {"tcp:2222:22", "udp:127.0.0.1:5353:53", "tcp:8080:10.0.2.16:80"})
        EXPECT_EQ(to_text(parse_port_forward(text)), text);
    for (const char* const bad : {"", "tcp", "tcp:22", "tcp:0:22", "tcp:22:70000", "icmp:1:2", "tcp:1:2:3",
                                  "tcp:a:22", "tcp:1.2.3:1:2"}) {
        try {
            parse_port_forward(bad);
            ADD_FAILURE() << bad;
        } catch (const Failure& failure) {
            EXPECT_EQ(failure.code(), ErrorCode::kInvalidArgument);
            EXPECT_NE(std::string(failure.what()).find("tcp:2222:22"), std::string::npos) << "says how";
        }
    }
}

}  // namespace
}  // namespace torii::backend::net
