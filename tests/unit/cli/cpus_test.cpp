// What the command line makes of answers about CPUs.

#include <gtest/gtest.h>
#include <torii/failure.h>

#include "config_file.h"
#include "render.h"
#include "render_cpus.h"
#include "top_view.h"

namespace torii::cli {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

v1::Vcpu vcpu(uint32_t number, v1::VcpuState state, uint32_t cpu) {
    v1::Vcpu vcpu;
    vcpu.set_number(number);
    vcpu.set_state(state);
    vcpu.set_cpu(cpu);
    vcpu.set_hard_cpus("0-3");
    vcpu.set_soft_cpus("0-1,3");
    return vcpu;
}

void set_times(v1::Vcpu& vcpu, uint64_t running, uint64_t runnable, uint64_t blocked, uint64_t offline) {
    vcpu.set_cpu_time_ns(running);
    vcpu.mutable_times()->set_running(running);
    vcpu.mutable_times()->set_runnable(runnable);
    vcpu.mutable_times()->set_blocked(blocked);
    vcpu.mutable_times()->set_offline(offline);
}

// web1 with two vCPUs, the second offline, on a machine of four CPUs.
v1::VcpuReport example() {
    v1::VcpuReport report;
    for (uint32_t cpu = 0; cpu < 4; cpu++)
        report.add_cpus(cpu);
    report.set_taken_ns(kSecond);
    v1::DomainVcpus& domain = *report.add_domains();
    domain.mutable_domain()->set_name("web1");
    domain.mutable_domain()->set_uuid("u1");
    domain.mutable_domain()->set_domid(3);
    domain.mutable_domain()->set_active(true);
    domain.mutable_domain()->set_state(v1::RUNNING);
    domain.mutable_domain()->set_vcpus(2);
    domain.mutable_domain()->set_online_vcpus(1);
    domain.mutable_domain()->set_memory_kib(256 << 10);
    *domain.add_vcpus() = vcpu(0, v1::VCPU_RUNNING, 2);
    *domain.add_vcpus() = vcpu(1, v1::VCPU_OFFLINE, 0);
    domain.mutable_vcpus(0)->set_cpu_time_ns(1'500'000'000);
    return report;
}

TEST(RenderCpus, VcpusForPeople) {
    EXPECT_EQ(render_vcpus(example()),
              "NAME  ID  VCPU  CPU  STATE    CPU-TIME  HARD  SOFT\n"
              "web1  3   0     2    running  1.5s      all   0-1,3\n"
              "web1  3   1     -    offline  0.0s      all   0-1,3\n");
}

TEST(RenderCpus, VcpusForPrograms) {
    EXPECT_EQ(
        render_vcpus_json(example()),
        "[{\"name\":\"web1\",\"domid\":3,\"uuid\":\"u1\",\"online_vcpus\":1,\"max_vcpus\":2,\"listens\":"
        "false,\"vcpus\":["
        "{\"vcpu\":0,\"state\":\"running\",\"cpu\":2,\"cpu_time_ns\":1500000000,\"hard_affinity\":\"0-3\","
        "\"soft_affinity\":\"0-1,3\"},"
        "{\"vcpu\":1,\"state\":\"offline\",\"cpu\":null,\"cpu_time_ns\":0,\"hard_affinity\":\"0-3\","
        "\"soft_affinity\":\"0-1,3\"}]}]\n");
    EXPECT_EQ(render_vcpus_json({}), "[]\n");
}

v1::ShareList shares() {
    v1::ShareList list;
    v1::DomainShare& share = *list.add_shares();
    share.set_name("web1");
    share.set_domid(3);
    share.set_pool("Pool-0");
    share.set_scheduler("credit2");
    share.mutable_share()->set_known(true);
    share.mutable_share()->set_weight(512);
    share.mutable_share()->set_cap_percent(50);
    v1::DomainShare& other = *list.add_shares();
    other.set_name("web2");
    other.set_domid(4);
    other.set_pool("null");
    other.set_scheduler("null");
    return list;
}

TEST(RenderCpus, Shares) {
    EXPECT_EQ(render_shares(shares()),
              "NAME  ID  WEIGHT  CAP   POOL    SCHEDULER\n"
              "web1  3   512     50 %  Pool-0  credit2\n"
              "web2  4   -       -     null    null\n");
    EXPECT_EQ(render_shares_json(shares()),
              "[{\"name\":\"web1\",\"domid\":3,\"weight\":512,\"cap_percent\":50,\"pool\":\"Pool-0\","
              "\"scheduler\":\"credit2\"},"
              "{\"name\":\"web2\",\"domid\":4,\"weight\":null,\"cap_percent\":null,\"pool\":\"null\","
              "\"scheduler\":\"null\"}]\n");
    v1::SchedulerShare none;
    none.set_known(true);
    EXPECT_EQ(cap_text(none), "none");
}

v1::PoolList pools() {
    v1::PoolList list;
    v1::Pool& pool = *list.add_pools();
    pool.set_name("Pool-0");
    pool.set_scheduler("credit2");
    pool.set_cpus("0-2");
    pool.set_domains(1);
    pool.set_has_ratelimit(true);
    pool.set_ratelimit_us(1000);
    list.set_free_cpus("3");
    return list;
}

TEST(RenderCpus, Pools) {
    EXPECT_EQ(render_pools(pools()),
              "ID  NAME    CPUS  DOMAINS  SCHEDULER  RATELIMIT\n"
              "0   Pool-0  0-2   1        credit2    1000 us\n"
              "in no pool, and idle: CPUs 3\n");
    EXPECT_EQ(render_pools_json(pools()),
              "{\"pools\":[{\"id\":0,\"name\":\"Pool-0\",\"cpus\":\"0-2\",\"domains\":1,\"scheduler\":"
              "\"credit2\",\"ratelimit_us\":1000}],\"free_cpus\":\"3\"}\n");
}

TEST(RenderCpus, Topology) {
    v1::Host host;
    *host.mutable_pools() = pools();
    for (uint32_t cpu = 0; cpu < 5; cpu++) {
        v1::HostCpu& place = *host.add_topology();
        place.set_number(cpu);
        place.set_known(cpu != 4);
        place.set_core(cpu / 2);
    }
    const std::string text = render_host(host);
    EXPECT_NE(text.find("package 0    CPUs 0-3, 2 cores with the threads 0-1 2-3\n"), std::string::npos)
        << text;
    EXPECT_NE(text.find("pool Pool-0  CPUs 0-2, 1 domain, credit2\n"), std::string::npos) << text;
    EXPECT_NE(text.find("in no pool   CPUs 3\n"), std::string::npos) << text;
    const std::string json = render_host_json(host);
    EXPECT_NE(json.find("{\"cpu\":3,\"core\":1,\"package\":0,\"node\":0}]"), std::string::npos) << json;
    EXPECT_NE(json.find("\"pools\":[{\"id\":0,"), std::string::npos);
    EXPECT_NE(json.find("\"free_cpus\":\"3\""), std::string::npos);
}

TEST(RenderCpus, InfoAndListTellOnlineOfMost) {
    v1::Domain domain = example().domains(0).domain();
    domain.set_pool("batch");
    domain.mutable_share()->set_known(true);
    domain.mutable_share()->set_weight(256);
    const std::string text = render_domain(domain);
    EXPECT_NE(text.find("vcpus     1 online, at most 2\n"), std::string::npos) << text;
    EXPECT_NE(text.find("cpu pool  batch\n"), std::string::npos);
    EXPECT_NE(text.find("cap       none\n"), std::string::npos);
    EXPECT_NE(render_domain_json(domain).find("\"pool\":\"batch\",\"weight\":256,\"cap_percent\":0"),
              std::string::npos);
    v1::DomainList list;
    *list.add_domains() = domain;
    EXPECT_NE(render_list(list).find("  1/2   "), std::string::npos);
}

// Two seconds: web1 ran for half, waited a quarter of the time of its one online vCPU.
v1::VcpuReport later() {
    v1::VcpuReport report = example();
    report.set_taken_ns(3 * kSecond);
    set_times(*report.mutable_domains(0)->mutable_vcpus(0), kSecond, kSecond / 2, kSecond / 2, 0);
    set_times(*report.mutable_domains(0)->mutable_vcpus(1), 0, 0, 0, 2 * kSecond);
    return report;
}

v1::VcpuReport earlier() {
    v1::VcpuReport report = example();
    for (int i = 0; i < 2; i++)
        set_times(*report.mutable_domains(0)->mutable_vcpus(i), 0, 0, 0, 0);
    return report;
}

TEST(Top, SharesOfTheTimeBetweenTwoLooks) {
    const Activity activity = compare(earlier(), later());
    EXPECT_DOUBLE_EQ(activity.seconds, 2);
    EXPECT_DOUBLE_EQ(activity.busy_percent, 12.5);
    ASSERT_EQ(activity.domains.size(), 1u);
    const DomainActivity& web1 = activity.domains[0];
    EXPECT_DOUBLE_EQ(web1.cpu_percent, 50);
    EXPECT_DOUBLE_EQ(web1.shares->running, 50);
    EXPECT_DOUBLE_EQ(web1.shares->runnable, 25);
    EXPECT_DOUBLE_EQ(web1.shares->blocked, 25);
    EXPECT_DOUBLE_EQ(web1.shares->offline, 50);
    EXPECT_DOUBLE_EQ(web1.vcpus[1].shares->offline, 100);
}

TEST(Top, ForPeople) {
    const Activity activity = compare(earlier(), later());
    EXPECT_EQ(render_activity(activity, false),
              "1 domain, 4 CPUs, 12.5 % busy in the last 2.0 s\n"
              "NAME  ID  STATE    VCPUS  CPU%  RUN%  WAIT%  BLOCKED%  OFFLINE%  MEMORY\n"
              "web1  3   running  1/2    50.0  50.0  25.0   25.0      50.0      256 MiB\n");
    const std::string with_vcpus = render_activity(activity, true);
    EXPECT_NE(with_vcpus.find("  vCPU 0      running  on 2   50.0  50.0  25.0   25.0      0.0"),
              std::string::npos)
        << with_vcpus;
    EXPECT_NE(with_vcpus.find("  vCPU 1      offline  -      0.0   0.0   0.0    0.0       100.0"),
              std::string::npos)
        << with_vcpus;
}

TEST(Top, DisksAndNetworksOfWhoHasThem) {
    v1::VcpuReport before = earlier();
    v1::VcpuReport after = later();
    before.mutable_domains(0)->mutable_traffic()->set_bytes_read(1 << 20);
    v1::Traffic& traffic = *after.mutable_domains(0)->mutable_traffic();
    traffic.set_bytes_read(5 << 20);
    traffic.set_bytes_sent(2 << 10);
    const Activity activity = compare(before, after);
    EXPECT_DOUBLE_EQ(activity.domains[0].traffic->read, 2 << 20);
    EXPECT_NE(render_activity(activity, false).find("MEMORY   READ/s  WRITE/s  RECV/s  SEND/s\n"),
              std::string::npos);
    EXPECT_NE(render_activity(activity, true).find("256 MiB  2 MiB   0 KiB    0 KiB   1 KiB\n"),
              std::string::npos)
        << render_activity(activity, true);
    EXPECT_NE(render_activity_json(activity).find("\"send_bytes_per_second\":1024"), std::string::npos);
    // A narrow terminal has room for what they do.
    const std::string narrow = render_activity(activity, true, 80);
    EXPECT_NE(
        narrow.find("NAME      ID  STATE    VCPUS  CPU%  WAIT%  MEMORY   READ/s  WRITE/s  RECV/s  SEND/s\n"),
        std::string::npos)
        << narrow;
    EXPECT_NE(narrow.find("  vCPU 1      offline  -      0.0   0.0 "), std::string::npos) << narrow;
    EXPECT_EQ(render_activity(activity, false, 105), render_activity(activity, false));
    EXPECT_EQ(render_activity(activity, false, 10), render_activity(activity, false, 80));
    // Another daemon counts from nothing.
    before.set_taken_ns(5 * kSecond);
    EXPECT_DOUBLE_EQ(compare(after, before).domains[0].traffic->read, 0);
}

TEST(Top, ForPrograms) {
    const std::string json = render_activity_json(compare(earlier(), later()));
    EXPECT_TRUE(
        json.starts_with("{\"seconds\":2.0,\"cpus\":4,\"busy_percent\":12.5,\"domains\":[{\"name\":"
                         "\"web1\",\"domid\":3,\"state\":\"running\",\"online_vcpus\":1,\"max_vcpus\":2,"
                         "\"memory_kib\":262144,\"cpu_percent\":50.0,\"run_percent\":50.0,"
                         "\"wait_percent\":25.0,\"blocked_percent\":25.0,\"offline_percent\":50.0,"))
        << json;
    EXPECT_NE(json.find("\"times_ns\":{\"run\":1000000000,\"wait\":500000000,\"blocked\":500000000,"
                        "\"offline\":0}"),
              std::string::npos)
        << json;
    EXPECT_EQ(json.find('\n'), json.size() - 1);
}

TEST(Top, TheBusiestFirst) {
    v1::VcpuReport before = earlier();
    v1::VcpuReport after = later();
    for (v1::VcpuReport* report : {&before, &after}) {
        v1::DomainVcpus& other = *report->add_domains();
        other = report->domains(0);
        other.mutable_domain()->set_name("busy");
        other.mutable_domain()->set_domid(4);
    }
    set_times(*after.mutable_domains(1)->mutable_vcpus(0), 2 * kSecond, 0, 0, 0);
    EXPECT_EQ(compare(before, after).domains[0].domain.name(), "busy");
}

TEST(Top, NewDomainsAndSmallerCountersAreNothingYet) {
    v1::VcpuReport none;
    none.set_taken_ns(kSecond);
    EXPECT_DOUBLE_EQ(compare(none, later()).domains[0].cpu_percent, 0);
    EXPECT_DOUBLE_EQ(compare(later(), earlier()).domains[0].cpu_percent, 0);
    EXPECT_DOUBLE_EQ(compare(later(), later()).busy_percent, 0);
}

TEST(Top, AHypervisorThatTellsNoTimes) {
    v1::VcpuReport before = earlier();
    v1::VcpuReport after = later();
    for (v1::VcpuReport* report : {&before, &after}) {
        for (v1::Vcpu& vcpu : *report->mutable_domains(0)->mutable_vcpus())
            vcpu.clear_times();
    }
    const Activity activity = compare(before, after);
    EXPECT_DOUBLE_EQ(activity.domains[0].cpu_percent, 50);
    EXPECT_FALSE(activity.domains[0].shares);
    EXPECT_NE(render_activity(activity, true).find("50.0  -     -      -"), std::string::npos);
    EXPECT_NE(render_activity_json(activity).find("\"wait_percent\":null"), std::string::npos);
}

TEST(Top, FitsAnyTerminal) {
    const std::string text = "abcdef\n12\n34\n56\n";
    EXPECT_EQ(fit_screen(text, 10, 4), "abcd\n12\n34\n56");
    EXPECT_EQ(fit_screen(text, 4, 80), "abcdef\n12\n34\n56");
    EXPECT_TRUE(fit_screen(text, 3, 80).starts_with("abcdef\n12\n[2 more lines"));
    EXPECT_EQ(fit_screen(text, 1, 3), "[4 ");
    EXPECT_EQ(fit_screen("", 5, 5), "");
}

TEST(CpuDescription, AllKeys) {
    const auto description = parse_description(R"(
vcpus = 2
max-vcpus = 8
weight = 512
cap = 150
cpus = "0-3,^2"
cpus-soft = "1"
pool = "batch"
)",
                                               "g.toml");
    const v1::DomainConfig& config = description.config;
    EXPECT_EQ(config.vcpus(), 2u);
    EXPECT_EQ(config.max_vcpus(), 8u);
    EXPECT_EQ(config.weight(), 512u);
    EXPECT_EQ(config.cap_percent(), 150u);
    EXPECT_EQ(config.cpus(), "0-3,^2");
    EXPECT_EQ(config.soft_cpus(), "1");
    EXPECT_EQ(config.pool(), "batch");
}

TEST(CpuDescription, MistakesNameFileAndLine) {
    const auto sentence = [](const std::string& text) {
        try {
            parse_description(text, "g.toml");
            return std::string();
        } catch (const Failure& failure) {
            EXPECT_EQ(failure.code(), ErrorCode::kConfigurationSyntax) << failure.what();
            return std::string(failure.what());
        }
    };
    EXPECT_TRUE(sentence("\nweight = 0").starts_with("g.toml:2: weight: a weight of 0 is not possible"));
    EXPECT_NE(sentence("weight = 65536").find("1 to 65535"), std::string::npos);
    EXPECT_TRUE(sentence("weight = \"9\"").starts_with("g.toml:1: \"weight\" must be a whole number"));
    EXPECT_TRUE(sentence("cap = -1").starts_with("g.toml:1: cap: a cap of -1 %"));
    EXPECT_NE(sentence("cap = 65535"), "");
    EXPECT_TRUE(sentence("\n\ncpus = \"0-\"").starts_with("g.toml:3: cpus: \"0-\" is not a list of CPUs"));
    EXPECT_TRUE(sentence("cpus-soft = 3").starts_with("g.toml:1: \"cpus-soft\" must be a text"));
    EXPECT_NE(sentence("max-vcpus = -2"), "");
    EXPECT_NE(sentence("pool = 1"), "");
}

}  // namespace
}  // namespace torii::cli
