// The verbs about CPUs, over four of them and a guest that follows as Linux does.

#include <fcntl.h>

#include "unit/cli/command_line.h"

namespace torii::cli {
namespace {

using dom0::DomId;
using dom0::test::FakeDomain;
using dom0::test::FakeVcpu;
using test::Answer;

class Verbs : public test::CommandLine {
protected:
    void SetUp() override {
        Lifecycle::SetUp();
        FakeDomain own;
        own.id = 0;
        own.vcpus = 2;
        own.paused = false;
        fake_.domains[0] = own;
        fake_.cpus.domain(0, 2);
        restart_daemon();
        v1::DomainConfig description = config("web1");
        description.set_vcpus(4);
        guest_ = create(description).id;
    }
    void TearDown() override { watch_ = {}; }

    std::vector<FakeVcpu>& vcpus() { return fake_.cpus.domain(guest_, 4).vcpus; }

    // From now on the guest's kernel does what its nodes say.
    void let_guest_follow() {
        const std::string home = "/local/domain/" + std::to_string(guest_);
        watch_ = daemon_->store.client().watch(home + "/cpu", [this, home](const std::string&) {
            for (size_t i = 0; i < 4; i++) {
                const auto wanted = node(home + "/cpu/" + std::to_string(i) + "/availability");
                vcpus()[i].online = wanted == "online";
            }
        });
        daemon_->settle();
    }

    uint16_t guest_ = 0;
    dom0::xenstore::LocalWatch watch_;
};

TEST_F(Verbs, VcpuList) {
    vcpus()[1].online = false;
    const Answer all = torii({"vcpu-list"});
    EXPECT_EQ(all.status, 0) << all.error;
    EXPECT_NE(all.out.find("Domain-0  0   1     1    runnable  0.0s      all   all\n"), std::string::npos)
        << all.out;
    EXPECT_NE(all.out.find("web1      1   1     -    offline   0.0s      all   all\n"), std::string::npos)
        << all.out;
    const Answer one = torii({"--json", "vcpu-list", "web1"});
    EXPECT_TRUE(one.out.starts_with("[{\"name\":\"web1\",\"domid\":1,")) << one.out;
    expect_refused(torii({"vcpu-list", "web2"}), 3, {"no domain \"web2\"", "torii list"});
}

TEST_F(Verbs, VcpuSetWaitsForTheGuest) {
    let_guest_follow();
    Answer answer = torii({"vcpu-set", "web1", "1"});
    EXPECT_EQ(answer.status, 0) << answer.error;
    EXPECT_EQ(answer.out, "web1 has 1 vCPU online\n");
    EXPECT_FALSE(vcpus()[1].online);
    answer = torii({"--json", "vcpu-set", "web1", "3"});
    EXPECT_EQ(answer.out,
              "{\"name\":\"web1\",\"domid\":1,\"wanted_vcpus\":3,\"online_vcpus\":3,\"max_vcpus\":4,"
              "\"listens\":false}\n");
    EXPECT_NE(torii({"info", "web1"}).out.find("3 online, at most 4"), std::string::npos);
    EXPECT_NE(torii({"list"}).out.find("3/4"), std::string::npos);
}

TEST_F(Verbs, VcpuSetSaysWhenTheGuestDoesNot) {
    const Answer answer = torii({"vcpu-set", "web1", "2", "--wait", "1"});
    expect_refused(
        answer, 10,
        {"web1 was asked to have 2 vCPUs online and has 4 after 1 seconds", "has not asked to be told"});
    EXPECT_EQ(torii({"vcpu-set", "web1", "2", "--wait", "0"}).out, "web1 was asked to have 2 vCPUs online\n");
}

TEST_F(Verbs, VcpuSetOfOneThatIsPaused) {
    torii({"pause", "web1"});
    EXPECT_EQ(torii({"vcpu-set", "web1", "2"}).out,
              "web1 is paused; it was told to have 2 vCPUs online when it goes on\n");
}

TEST_F(Verbs, VcpuSetRefusals) {
    expect_refused(torii({"vcpu-set", "web1", "5"}), 2,
                   {"web1 can have at most 4 vCPUs", "5 were asked for"});
    expect_refused(torii({"vcpu-set", "Domain-0", "3"}), 2, {"at most 2", "dom0_max_vcpus"});
    expect_refused(torii({"vcpu-set", "web1", "0"}), 2, {"COUNT"});
    expect_refused(torii({"vcpu-set", "web1", "two"}), 2, {"COUNT"});
    expect_refused(torii({"vcpu-set", "web1"}), 2, {"COUNT"});
    expect_refused(torii({"vcpu-set", "web9", "1"}), 3, {"web9"});
}

TEST_F(Verbs, VcpuPinShowsWhatHolds) {
    const Answer one = torii({"vcpu-pin", "web1", "2", "1-3,^2"});
    EXPECT_EQ(one.status, 0) << one.error;
    EXPECT_EQ(one.out,
              "NAME  ID  VCPU  CPU  STATE     CPU-TIME  HARD  SOFT\n"
              "web1  1   2     2    runnable  0.0s      1,3   all\n");
    EXPECT_EQ(torii({"--quiet", "vcpu-pin", "web1", "all", "--soft", "0"}).out, "");
    EXPECT_EQ(vcpus()[3].soft, CpuSet{0});
    EXPECT_EQ(vcpus()[3].hard, first_cpus(4));
    EXPECT_NE(torii({"--json", "vcpu-pin", "web1", "all", "all", "--soft", "all"})
                  .out.find("\"vcpu\":3,\"state\":\"runnable\",\"cpu\":3,\"cpu_time_ns\":0,"
                            "\"hard_affinity\":\"0-3\",\"soft_affinity\":\"0-3\""),
              std::string::npos);
}

TEST_F(Verbs, VcpuPinRefusals) {
    expect_refused(torii({"vcpu-pin", "web1", "9", "0"}), 2, {"web1 has no vCPU 9", "0-3"});
    expect_refused(torii({"vcpu-pin", "web1", "x", "0"}), 2, {"\"x\" is not a vCPU"});
    expect_refused(torii({"vcpu-pin", "web1", "-1", "0"}), 2, {"-1"});
    expect_refused(torii({"vcpu-pin", "web1", "0", "4-5"}), 2, {"no CPU 4", "\"4-5\"", "the CPUs are 0-3"});
    expect_refused(torii({"vcpu-pin", "web1", "0", "1;2"}), 2, {"\"1;2\" is not a list of CPUs"});
    expect_refused(torii({"vcpu-pin", "web1", "0"}), 2, {"nothing is to be changed"});
    expect_refused(torii({"vcpu-pin", "web1"}), 2, {"VCPU"});
    fake_.cpus.supports_affinity = false;
    expect_refused(torii({"vcpu-pin", "web1", "0", "0"}), 8, {"vCPU 0 of domain 1", "does not support it"});
}

TEST_F(Verbs, Sched) {
    EXPECT_EQ(torii({"sched"}).out,
              "NAME      ID  WEIGHT  CAP   POOL    SCHEDULER\n"
              "Domain-0  0   256     none  Pool-0  credit2\n"
              "web1      1   256     none  Pool-0  credit2\n");
    EXPECT_EQ(torii({"sched", "web1", "--weight", "512", "--cap", "50"}).out,
              "NAME  ID  WEIGHT  CAP   POOL    SCHEDULER\n"
              "web1  1   512     50 %  Pool-0  credit2\n");
    EXPECT_NE(torii({"--json", "info", "web1"}).out.find("\"weight\":512,\"cap_percent\":50"),
              std::string::npos);
    EXPECT_EQ(torii({"--json", "sched", "web1", "--cap", "0"}).out,
              "[{\"name\":\"web1\",\"domid\":1,\"weight\":512,\"cap_percent\":0,\"pool\":\"Pool-0\","
              "\"scheduler\":\"credit2\"}]\n");
    EXPECT_NE(torii({"sched", "--ratelimit", "500"}).out.find("500 us"), std::string::npos);
    EXPECT_EQ(fake_.cpus.pools.at(0).ratelimit_us, 500u);
}

TEST_F(Verbs, SchedRefusals) {
    expect_refused(torii({"sched", "web1", "--weight", "0"}), 2, {"--weight"});
    expect_refused(torii({"sched", "web1", "--weight", "65536"}), 2, {"--weight"});
    expect_refused(torii({"sched", "web1", "--cap", "-1"}), 2, {"--cap"});
    expect_refused(torii({"sched", "--weight", "5"}), 2, {"whose they are"});
    expect_refused(torii({"sched", "web1", "--ratelimit", "500"}), 2, {"belongs to a pool"});
    expect_refused(torii({"sched", "web1", "--pool", "x"}), 2, {"torii pool move"});
    expect_refused(torii({"sched", "--ratelimit", "5"}), 2, {"100 to 500000"});
    expect_refused(torii({"sched", "--ratelimit", "500", "--pool", "x"}), 2, {"no CPU pool \"x\""});
    expect_refused(torii({"sched", "gone"}), 3, {"gone"});
}

TEST_F(Verbs, Pool) {
    EXPECT_EQ(torii({"pool"}).out,
              "ID  NAME    CPUS  DOMAINS  SCHEDULER  RATELIMIT\n"
              "0   Pool-0  0-3   2        credit2    1000 us\n");
    EXPECT_EQ(torii({"pool", "remove-cpu", "Pool-0", "2-3"}).status, 0);
    EXPECT_EQ(torii({"pool", "create", "batch", "--cpus", "2"}).status, 0);
    EXPECT_EQ(torii({"pool", "add-cpu", "batch", "3"}).status, 0);
    const Answer moved = torii({"pool", "move", "web1", "batch"});
    EXPECT_EQ(moved.out,
              "ID  NAME    CPUS  DOMAINS  SCHEDULER  RATELIMIT\n"
              "0   Pool-0  0-1   1        credit2    1000 us\n"
              "1   batch   2-3   1        credit2    1000 us\n");
    expect_refused(torii({"pool", "destroy", "batch"}), 7, {"cannot destroy the pool batch"});
    EXPECT_NE(torii({"--json", "info", "web1"}).out.find("\"pool\":\"batch\""), std::string::npos);
    EXPECT_EQ(torii({"pool", "move", "web1", "0"}).status, 0);
    EXPECT_EQ(torii({"pool", "destroy", "batch"}).status, 0);
    EXPECT_EQ(torii({"--json", "pool", "list"}).out,
              "{\"pools\":[{\"id\":0,\"name\":\"Pool-0\",\"cpus\":\"0-1\",\"domains\":2,\"scheduler\":"
              "\"credit2\",\"ratelimit_us\":1000}],\"free_cpus\":\"2-3\"}\n");
    EXPECT_NE(torii({"host"}).out.find("in no pool"), std::string::npos);
}

TEST_F(Verbs, PoolRefusals) {
    expect_refused(torii({"pool", "create", "b", "--cpus", "1"}), 7, {"CPU 1 belongs to pool Pool-0"});
    expect_refused(torii({"pool", "create", "b c"}), 2, {"\"b c\" cannot name a pool"});
    expect_refused(torii({"pool", "create"}), 2, {"NAME"});
    expect_refused(torii({"pool", "destroy", "b"}), 2, {"no CPU pool \"b\"", "Pool-0"});
    expect_refused(torii({"pool", "destroy", "Pool-0"}), 7, {"cannot be destroyed"});
    expect_refused(torii({"pool", "add-cpu", "Pool-0", "7"}), 2, {"no CPU 7"});
    expect_refused(torii({"pool", "move", "Domain-0", "b"}), 2, {"no CPU pool \"b\""});
    expect_refused(torii({"pool", "frobnicate"}), 2, {"frobnicate"});
    fake_.cpus.supports_pools = false;
    expect_refused(torii({"pool", "create", "b"}), 8, {"does not support it"});
}

TEST_F(Verbs, TopInBatches) {
    vcpus()[0].running = true;
    const Answer answer = torii({"top", "--batch", "--delay", "0.1", "--iterations", "2", "--vcpus"});
    EXPECT_EQ(answer.status, 0) << answer.error;
    EXPECT_EQ(answer.out.find("2 domains, 4 CPUs, 0.0 % busy in the last 0.1 s\n"), 0u) << answer.out;
    EXPECT_NE(answer.out.find("  vCPU 0"), std::string::npos);
    EXPECT_NE(answer.out.find("\n\n2 domains"), std::string::npos);
    const Answer json = torii({"--json", "top", "--delay", "0.1"});
    EXPECT_TRUE(json.out.starts_with("{\"seconds\":0.1,\"cpus\":4,")) << json.out;
    expect_refused(torii({"top", "--delay", "0"}), 2, {"--delay"});
}

TEST_F(Verbs, EachExplainsItselfWithExamples) {
    for (const char* verb : {"vcpu-list", "vcpu-set", "vcpu-pin", "sched", "pool", "top"}) {
        const Answer answer = torii({verb, "--help"});
        EXPECT_EQ(answer.status, 0) << verb;
        EXPECT_NE(answer.out.find("Examples:\n  torii " + std::string(verb)), std::string::npos) << verb;
        EXPECT_NE(torii({"completion", "bash"}).out.find(verb), std::string::npos) << verb;
    }
    for (const char* verb : {"list", "create", "destroy", "move", "add-cpu", "remove-cpu"}) {
        EXPECT_NE(torii({"pool", verb, "--help"}).out.find("Examples:\n"), std::string::npos) << verb;
    }
}

}  // namespace
}  // namespace torii::cli
