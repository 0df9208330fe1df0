#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <torii/failure.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "config_file.h"
#include "connection.h"
#include "console.h"
#include "exit_codes.h"
#include "json.h"
#include "render.h"
#include "sizes.h"

namespace torii::cli {
namespace {

template <typename Call>
std::string refusal(Call call) {
    try {
        call();
        return "";
    } catch (const Failure& failure) {
        return failure.what();
    }
}

TEST(Sizes, AmountsOfMemory) {
    EXPECT_EQ(parse_memory_kib("256"), 256u << 10);
    EXPECT_EQ(parse_memory_kib("256M"), 256u << 10);
    EXPECT_EQ(parse_memory_kib("256 MiB"), 256u << 10);
    EXPECT_EQ(parse_memory_kib("2g"), 2u << 20);
    EXPECT_EQ(parse_memory_kib("1T"), 1ull << 30);
    EXPECT_EQ(parse_memory_kib("65536K"), 65536u);
    EXPECT_EQ(parse_memory_kib("4096B"), 4u);
    EXPECT_EQ(parse_bytes("10"), 10u);
    EXPECT_EQ(parse_bytes("4K"), 4096u);
    for (const char* bad :
         {"", "M", "-1", "1.5G", "12x", "12MX", "99999999999999999999", "9999999999999999T", "0x10"}) {
        EXPECT_NE(refusal([&] { parse_memory_kib(bad); }).find("whole number"), std::string::npos) << bad;
    }
}

TEST(Sizes, ForPeople) {
    EXPECT_EQ(format_kib(512), "512 KiB");
    EXPECT_EQ(format_kib(256 << 10), "256 MiB");
    EXPECT_EQ(format_kib(16ull << 20), "16.0 GiB");
    EXPECT_EQ(format_duration(3661), "01:01:01");
    EXPECT_EQ(format_duration(90061), "1d 01:01:01");
}

TEST(Description, AllKeys) {
    const auto description = parse_description(R"(
name = "web1"
uuid = "0123abcd-4567-89ef-0011-223344556677"
kernel = "vmlinuz"
ramdisk = "/images/initrd"
command-line = "console=hvc0 quiet"
memory = "256M"
max-memory = 1024
vcpus = 2
on-poweroff = "preserve"
on-reboot = "destroy"
on-crash = "restart"
tsc = "emulate"
paused = true
)",
                                               "/etc/guests/web1.toml");
    const v1::DomainConfig& config = description.config;
    EXPECT_EQ(config.name(), "web1");
    EXPECT_EQ(config.kernel(), "/etc/guests/vmlinuz");
    EXPECT_EQ(config.ramdisk(), "/images/initrd");
    EXPECT_EQ(config.command_line(), "console=hvc0 quiet");
    EXPECT_EQ(config.memory_kib(), 256u << 10);
    EXPECT_EQ(config.max_memory_kib(), 1u << 20);
    EXPECT_EQ(config.vcpus(), 2u);
    EXPECT_EQ(config.on_poweroff(), v1::END_PRESERVE);
    EXPECT_EQ(config.on_reboot(), v1::END_DESTROY);
    EXPECT_EQ(config.on_crash(), v1::END_RESTART);
    EXPECT_EQ(config.tsc_mode(), v1::TSC_EMULATE);
    EXPECT_TRUE(description.paused);
}

TEST(Description, WhatIsNotSaid) {
    const auto description = parse_description("name = \"x\"", "x.toml");
    EXPECT_EQ(description.config.vcpus(), 1u);
    EXPECT_EQ(description.config.on_reboot(), v1::END_RESTART);
    EXPECT_FALSE(description.paused);
}

TEST(Description, MistakesNameFileAndLine) {
    const auto sentence = [](const std::string& text) {
        return refusal([&] { parse_description(text, "g.toml"); });
    };
    EXPECT_TRUE(sentence("name = \"x\"\n\nmemry = 5\n").starts_with("g.toml:3: unknown key \"memry\""));
    EXPECT_NE(sentence("memry = 5").find("known are: name,"), std::string::npos);
    EXPECT_TRUE(sentence("name = \n").starts_with("g.toml:1:"));
    EXPECT_TRUE(sentence("name = 5").starts_with("g.toml:1: \"name\" must be a text"));
    EXPECT_TRUE(sentence("\nvcpus = \"5\"").starts_with("g.toml:2: \"vcpus\" must be a whole number"));
    EXPECT_NE(sentence("vcpus = -1"), "");
    EXPECT_NE(sentence("paused = 1"), "");
    EXPECT_NE(sentence("memory = \"much\"").find("g.toml:1: memory: \"much\""), std::string::npos);
    EXPECT_NE(sentence("memory = -5"), "");
    EXPECT_NE(sentence("on-crash = \"explode\"").find("destroy, restart or preserve"), std::string::npos);
    EXPECT_NE(sentence("[table]\nname = \"x\"").find("unknown key \"table\""), std::string::npos);
    EXPECT_NE(refusal([] { read_description("/nonexistent.toml"); }).find("/nonexistent.toml"),
              std::string::npos);
    EXPECT_NE(refusal([] { read_description("/"); }), "");
}

TEST(Description, DisksAndNetworks) {
    const auto description = parse_description(R"(
name = "web1"
[[disk]]
source = "disk.raw"
[[disk]]
source = "nbd://storage/vol7"
device = "xvdd"
format = "raw"
read-only = true
sector-size = 4096
iops = 100
bytes-per-second = "10M"
bytes-burst = "20M"
[[net]]
forwards = ["tcp:2222:22", "udp:53:53"]
[[net]]
attachment = "bridge=br0"
mac = "00:16:3e:00:00:01"
mtu = 9000
addresses = ["10.0.0.1", "fd00::1"]
send-limit = "1M"
)",
                                               "/etc/guests/web1.toml");
    const v1::DomainConfig& config = description.config;
    ASSERT_EQ(config.disks_size(), 2);
    EXPECT_EQ(config.disks(0).source(), "/etc/guests/disk.raw");
    EXPECT_EQ(config.disks(0).device(), "");
    EXPECT_EQ(config.disks(1).source(), "nbd://storage/vol7");
    EXPECT_EQ(config.disks(1).device(), "xvdd");
    EXPECT_TRUE(config.disks(1).read_only());
    EXPECT_EQ(config.disks(1).sector_size(), 4096u);
    EXPECT_EQ(config.disks(1).requests().per_second(), 100u);
    EXPECT_EQ(config.disks(1).bytes().per_second(), 10u << 20);
    EXPECT_EQ(config.disks(1).bytes().burst(), 20u << 20);
    ASSERT_EQ(config.nets_size(), 2);
    EXPECT_EQ(config.nets(0).forwards_size(), 2);
    EXPECT_EQ(config.nets(0).forwards(0), "tcp:2222:22");
    EXPECT_EQ(config.nets(1).attachment(), "bridge=br0");
    EXPECT_EQ(config.nets(1).mtu(), 9000u);
    EXPECT_EQ(config.nets(1).addresses(1), "fd00::1");
    EXPECT_EQ(config.nets(1).from_guest().per_second(), 1u << 20);
}

TEST(Description, MistakesInSectionsNameTheirLine) {
    const auto sentence = [](const std::string& text) {
        return refusal([&] { parse_description(text, "g.toml"); });
    };
    EXPECT_TRUE(sentence("[[disk]]\nsource = \"a\"\ncolour = 1")
                    .starts_with("g.toml:3: unknown key \"colour\"; known are: source,"));
    EXPECT_NE(sentence("[[disk]]\nread-only = true").find("needs a source"), std::string::npos);
    EXPECT_NE(sentence("[disk]\nsource = \"a\"").find("write [[disk]]"), std::string::npos);
    EXPECT_NE(sentence("disk = \"a\"").find("write [[disk]]"), std::string::npos);
    EXPECT_NE(sentence("[[net]]\nforwards = \"tcp:1:1\"").find("must be a list"), std::string::npos);
    EXPECT_NE(sentence("[[disk]]\nsource = \"a\"\niops = -1").find("cannot be -1"), std::string::npos);
}

TEST(Description, WhyAFileCannotBeReadIsSaid) {
    EXPECT_EQ(refusal([] { read_description("/no/such.toml"); }),
              "the description /no/such.toml cannot be read: No such file or directory");
    EXPECT_EQ(refusal([] { read_description("/"); }), "the description / cannot be read: Is a directory");
}

TEST(Json, NestsAndEscapes) {
    JsonWriter json;
    json.begin_object();
    json.field("text", "a\"b\\c\n\x01\xC3\xA4\xFF");
    json.field("number", uint64_t{18446744073709551615u});
    json.field("negative", int64_t{-5});
    json.key("list");
    json.begin_array();
    json.value(true);
    json.null();
    json.begin_object();
    json.end_object();
    json.end_array();
    json.end_object();
    EXPECT_EQ(
        json.take(),
        "{\"text\":\"a\\\"b\\\\c\\n\\u0001\xC3\xA4\\ufffd\",\"number\":18446744073709551615,\"negative\":-5,"
        "\"list\":[true,null,{}]}\n");
}

v1::Domain example() {
    v1::Domain domain;
    domain.set_domid(3);
    domain.set_active(true);
    domain.set_managed(true);
    domain.set_name("web1");
    domain.set_state(v1::RUNNING);
    domain.set_memory_kib(256 << 10);
    domain.set_vcpus(1);
    domain.set_cpu_time_ns(1234567890);
    domain.set_explanation("running\x1B[31m");
    return domain;
}

TEST(Render, ListForPeople) {
    v1::DomainList list;
    *list.add_domains() = example();
    v1::Domain ended = example();
    ended.set_active(false);
    ended.set_name("a-much-longer-name");
    ended.set_state(v1::SHUTOFF);
    ended.set_explanation("powered itself off");
    *list.add_domains() = ended;
    EXPECT_EQ(render_list(list),
              "ID  NAME                STATE    MEMORY   CPUS  CPU-TIME  WHY\n"
              "3   web1                running  256 MiB  0/1   1.2s      running [31m\n"
              "-   a-much-longer-name  off      -        1     -         powered itself off\n");
}

TEST(Render, JsonHasNoIdForWhatIsGone) {
    v1::Domain ended = example();
    EXPECT_NE(render_domain_json(ended).find("\"domid\":3,"), std::string::npos);
    ended.set_active(false);
    EXPECT_NE(render_domain_json(ended).find("\"domid\":null,"), std::string::npos);
    v1::DomainList none;
    EXPECT_EQ(render_list_json(none), "[]\n");
}

TEST(Render, EachStateHasAWord) {
    v1::Domain domain;
    domain.set_building(true);
    EXPECT_EQ(state_word(domain), "building");
    domain.set_building(false);
    domain.set_dying(true);
    EXPECT_EQ(state_word(domain), "dying");
    domain.set_dying(false);
    domain.set_state(v1::CRASHED);
    EXPECT_EQ(state_word(domain), "crashed");
    domain.set_state(v1::NO_STATE);
    EXPECT_EQ(state_word(domain), "unknown");
}

TEST(Render, ZeroCountersAreLeftOut) {
    v1::CounterList list;
    auto* counter = list.add_counters();
    counter->set_name("mmu_update");
    counter->add_values(40);
    counter->add_values(2);
    list.add_counters()->set_name("never");
    EXPECT_EQ(render_counters(list, false), "COUNTER     TOTAL\nmmu_update  42\n");
    EXPECT_NE(render_counters(list, true).find("never"), std::string::npos);
}

TEST(Console, Escapes) {
    EXPECT_EQ(replace_escapes("a\\n\\t\\\\\\x41\\e"), "a\n\t\\A\x1B");
    EXPECT_THROW(replace_escapes("\\q"), Failure);
    EXPECT_THROW(replace_escapes("\\x4"), Failure);
    EXPECT_THROW(replace_escapes("\\"), Failure);
}

TEST(Console, TextIsFoundAcrossPieces) {
    StreamMatcher matcher("login: ");
    EXPECT_FALSE(matcher.feed("some log"));
    EXPECT_FALSE(matcher.feed("\nlog"));
    EXPECT_FALSE(matcher.feed("in"));
    EXPECT_TRUE(matcher.feed(": "));
    EXPECT_TRUE(matcher.feed("more"));
}

TEST(ExitCodes, KeepTheirNumbers) {
    EXPECT_EQ(static_cast<int>(exit_code_for(ErrorCode::kInvalidArgument)), 2);
    EXPECT_EQ(static_cast<int>(exit_code_for(ErrorCode::kNoDomain)), 3);
    EXPECT_EQ(static_cast<int>(exit_code_for(ErrorCode::kNoConnection)), 4);
    EXPECT_EQ(static_cast<int>(exit_code_for(ErrorCode::kAccessDenied)), 5);
    EXPECT_EQ(static_cast<int>(exit_code_for(ErrorCode::kNoMemory)), 6);
    EXPECT_EQ(static_cast<int>(exit_code_for(ErrorCode::kDomainExists)), 7);
    EXPECT_EQ(static_cast<int>(exit_code_for(ErrorCode::kNotSupported)), 8);
    EXPECT_EQ(static_cast<int>(exit_code_for(ErrorCode::kNoKernel)), 9);
    EXPECT_EQ(static_cast<int>(exit_code_for(ErrorCode::kTimeout)), 10);
    EXPECT_EQ(static_cast<int>(exit_code_for(ErrorCode::kInternal)), 1);
}

// A daemon of one connection that answers what the test wants.
class TinyDaemon {
public:
    explicit TinyDaemon(std::function<void(int)> serve) {
        std::string name = "/tmp/torii-cli-XXXXXX";
        folder_ = ::mkdtemp(name.data());
        listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path().copy(address.sun_path, sizeof(address.sun_path) - 1);
        EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
        EXPECT_EQ(::listen(listener_, 1), 0);
        thread_ = std::thread([this, serve] {
            const int client = ::accept(listener_, nullptr, nullptr);
            serve(client);
            ::close(client);
        });
    }
    ~TinyDaemon() {
        thread_.join();
        ::close(listener_);
        std::filesystem::remove_all(folder_);
    }
    std::string path() const { return folder_ + "/sock"; }

private:
    std::string folder_;
    int listener_ = -1;
    std::thread thread_;
};

void reply(int client, const v1::Reply& answer) {
    const std::string frame = encode_frame(answer.SerializeAsString());
    EXPECT_EQ(::write(client, frame.data(), frame.size()), static_cast<ssize_t>(frame.size()));
}

TEST(Connection, ProgressThenTheAnswer) {
    TinyDaemon daemon([](int client) {
        char buffer[256];
        EXPECT_GT(::read(client, buffer, sizeof(buffer)), 0);
        v1::Reply answer;
        answer.set_id(99);  // somebody else's
        answer.mutable_done();
        reply(client, answer);
        answer.set_id(1);
        answer.mutable_progress()->set_percent(50);
        reply(client, answer);
        answer.mutable_host()->set_cpus(7);
        reply(client, answer);
    });
    Connection connection(daemon.path());
    v1::Request request;
    request.mutable_host();
    unsigned percent = 0;
    const v1::Reply answer =
        connection.call(request, [&](const v1::Progress& progress) { percent = progress.percent(); });
    EXPECT_EQ(percent, 50u);
    EXPECT_EQ(answer.host().cpus(), 7u);
}

TEST(Connection, FailuresArriveAsFailures) {
    TinyDaemon daemon([](int client) {
        char buffer[256];
        EXPECT_GT(::read(client, buffer, sizeof(buffer)), 0);
        v1::Reply answer;
        answer.set_id(1);
        answer.mutable_failure()->set_code(42);
        answer.mutable_failure()->set_sentence("there is no such domain");
        reply(client, answer);
    });
    Connection connection(daemon.path());
    v1::Request request;
    request.mutable_info()->set_domain("x");
    try {
        connection.call(request);
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.code(), ErrorCode::kNoDomain);
        EXPECT_STREQ(failure.what(), "there is no such domain");
    }
}

TEST(Connection, ADaemonThatGoesIsNoticed) {
    TinyDaemon daemon([](int) {});
    Connection connection(daemon.path());
    v1::Request request;
    request.mutable_list();
    EXPECT_NE(refusal([&] { connection.call(request); }).find("has ended the connection"), std::string::npos);
}

TEST(Connection, NobodyThere) {
    EXPECT_NE(refusal([] { Connection("/nonexistent/socket"); }).find("start toriid"), std::string::npos);
    EXPECT_NE(refusal([] { Connection(std::string(200, 'x')); }), "");
}

}  // namespace
}  // namespace torii::cli
