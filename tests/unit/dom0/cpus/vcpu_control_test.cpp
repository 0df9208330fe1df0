// Which vCPUs are online, where they run and how much they get, over the fake hypervisor's four CPUs.

#include "cpus/vcpu_control.h"

#include "unit/dom0/kit/lifecycle_world.h"

namespace torii::dom0 {
namespace {

using test::FakeDomain;
using test::FakeVcpu;

class VcpuControlTest : public test::Lifecycle {
protected:
    VcpuControl control() {
        return VcpuControl(manager(), daemon_->hypervisor, daemon_->store, manager().pools());
    }
    static v1::DomainConfig four(const std::string& name, uint32_t online = 4) {
        v1::DomainConfig description = config(name);
        description.set_vcpus(online);
        description.set_max_vcpus(4);
        return description;
    }
    std::string availability(uint16_t domain) {
        std::string text;
        for (int vcpu = 0; vcpu < 4; vcpu++) {
            text += node("/local/domain/" + std::to_string(domain) + "/cpu/" + std::to_string(vcpu) +
                         "/availability")
                        .value_or("-") +
                    " ";
        }
        return text;
    }
    // The code and sentence of a refusal, "0 " when there is none.
    template <typename Call>
    static std::string refusal(Call call) {
        try {
            call();
            return "0 ";
        } catch (const Failure& failure) {
            return std::to_string(static_cast<int>(failure.code())) + " " + failure.what();
        }
    }
    static void expect_refused(const std::string& told, ErrorCode code,
                               std::initializer_list<const char*> words) {
        EXPECT_TRUE(told.starts_with(std::to_string(static_cast<int>(code)) + " ")) << told;
        for (const char* word : words)
            EXPECT_NE(told.find(word), std::string::npos) << told << " lacks " << word;
    }
    v1::VcpuReport set(const std::string& domain, uint32_t count) {
        v1::VcpuSetRequest request;
        request.set_domain(domain);
        request.set_count(count);
        return control().set_online(request);
    }
    // `vcpu` below zero: all.
    v1::VcpuReport pin(const std::string& domain, int vcpu, const std::string& hard,
                       const std::string& soft = "") {
        v1::VcpuPinRequest request;
        request.set_domain(domain);
        request.set_all(vcpu < 0);
        if (vcpu >= 0) request.set_vcpu(static_cast<uint32_t>(vcpu));
        request.set_hard_cpus(hard);
        request.set_soft_cpus(soft);
        return control().pin(request);
    }
    v1::ShareList schedule(const std::string& domain, std::optional<uint32_t> weight,
                           std::optional<uint32_t> cap) {
        v1::ScheduleRequest request;
        request.set_domain(domain);
        if (weight) request.set_weight(*weight);
        if (cap) request.set_cap_percent(*cap);
        return control().schedule(request);
    }
    v1::VcpuReport list(const std::string& domain, bool times, int* pieces = nullptr) {
        v1::VcpuListRequest request;
        request.set_domain(domain);
        request.set_times(times);
        v1::VcpuReport whole;
        control().list(request, [&](const v1::VcpuReport& piece) {
            if (pieces != nullptr) ++*pieces;
            whole.MergeFrom(piece);
        });
        return whole;
    }
    FakeDomain& add_control_domain(uint32_t vcpus) {
        FakeDomain domain;
        domain.id = 0;
        domain.paused = false;
        domain.vcpus = vcpus;
        fake_.cpus.domain(0, vcpus);
        return fake_.domains[0] = domain;
    }
};

TEST_F(VcpuControlTest, TheNodesOfAllVcpusAreThereFromTheStart) {
    const uint16_t id = create(four("g1", 2)).id;
    EXPECT_EQ(daemon_->requests.back().config().max_vcpus(), 4u);
    EXPECT_EQ(availability(id), "online online offline offline ");
    EXPECT_EQ(manager().info("g1").vcpus(), 4u);
    const std::string one = "/local/domain/" + std::to_string(id) + "/cpu/3/availability";
    const auto permissions = daemon_->store.client().permissions(one);
    ASSERT_EQ(permissions->size(), 2u);
    EXPECT_EQ((*permissions)[0].domain, kDom0);
    EXPECT_EQ((*permissions)[1].domain, DomId(id));
}

TEST_F(VcpuControlTest, SetWritesWhatTheKernelWatches) {
    FakeDomain& domain = create(four("g1"));
    const v1::VcpuReport report = set("g1", 1);
    EXPECT_EQ(availability(domain.id), "online offline offline offline ");
    EXPECT_EQ(report.domains(0).domain().online_vcpus(), 4u);
    EXPECT_FALSE(report.domains(0).listens());
    set(std::to_string(domain.id), 3);
    EXPECT_EQ(availability(domain.id), "online online online offline ");
    fake_.cpus.domain(domain.id, 4).vcpus[3].online = false;
    EXPECT_EQ(list("g1", false).domains(0).domain().online_vcpus(), 3u);
    EXPECT_EQ(list("g1", false).domains(0).vcpus(3).state(), v1::VCPU_OFFLINE);
}

TEST_F(VcpuControlTest, SetHoldsOverARebootAndARestartOfTheDaemon) {
    v1::DomainConfig description = four("g1");
    description.set_on_reboot(v1::END_RESTART);
    FakeDomain& domain = create(description);
    set("g1", 2);
    restart_daemon();
    EXPECT_EQ(availability(domain.id), "online online offline offline ");
    guest_ends(domain, abi::ShutdownReason::kReboot);
    EXPECT_EQ(availability(build().id), "online online offline offline ");
}

TEST_F(VcpuControlTest, CountsThatCannotBe) {
    create(four("g1"));
    expect_refused(refusal([&] { set("g1", 0); }), ErrorCode::kInvalidArgument,
                   {"g1 cannot be left without a vCPU"});
    expect_refused(refusal([&] { set("g1", 5); }), ErrorCode::kInvalidArgument,
                   {"g1 can have at most 4 vCPUs", "5 were asked for", "max-vcpus"});
    expect_refused(refusal([&] { set("nobody", 1); }), ErrorCode::kNoDomain, {"nobody"});
    ask_create(config("g2"));
    expect_refused(refusal([&] { set("g2", 1); }), ErrorCode::kOperationInvalid,
                   {"cannot change the number of vCPUs of g2", "still being built"});
}

TEST_F(VcpuControlTest, TheControlDomainHasNodesToo) {
    add_control_domain(4);
    restart_daemon();
    EXPECT_EQ(availability(0), "online online online online ");
    set("Domain-0", 2);
    EXPECT_EQ(availability(0), "online online offline offline ");
    restart_daemon();
    EXPECT_EQ(availability(0), "online online offline offline ");
    set("0", 4);
    EXPECT_EQ(availability(0), "online online online online ");
    expect_refused(refusal([&] { set("Domain-0", 5); }), ErrorCode::kInvalidArgument, {"dom0_max_vcpus"});
}

// As Linux does when xenstore is ready.
TEST_F(VcpuControlTest, AKernelThatWatchesIsKnown) {
    FakeDomain& domain = create(four("g1"));
    auto& ring = store_ring(domain);
    const std::string payload = std::string("cpu") + '\0' + "token" + '\0';
    const abi::XenstoreHeader header{static_cast<uint32_t>(abi::XenstoreMessage::kWatch), 1, 0,
                                     static_cast<uint32_t>(payload.size())};
    std::string message(reinterpret_cast<const char*>(&header), sizeof(header));
    message += payload;
    std::copy(message.begin(), message.end(), ring.req);
    ring.req_prod = static_cast<uint32_t>(message.size());
    daemon_->channels.signal(DomId(domain.id), Port(1));
    EXPECT_TRUE(set("g1", 1).domains(0).listens());
}

TEST_F(VcpuControlTest, ListTellsStatesAndWhereTheyMayRun) {
    const uint16_t id = create(four("g1")).id;
    auto& vcpus = fake_.cpus.domain(id, 4).vcpus;
    vcpus[0].running = true;
    vcpus[1].blocked = true;
    vcpus[3].online = false;
    vcpus[0].times[0] = 1234;
    vcpus[2].hard = {1, 3};
    const v1::VcpuReport report = list("", false);
    ASSERT_EQ(report.domains_size(), 1);
    EXPECT_TRUE(report.last());
    EXPECT_EQ(report.cpus_size(), 4);
    const v1::DomainVcpus& domain = report.domains(0);
    EXPECT_EQ(domain.vcpus(0).state(), v1::VCPU_RUNNING);
    EXPECT_EQ(domain.vcpus(1).state(), v1::VCPU_BLOCKED);
    EXPECT_EQ(domain.vcpus(2).state(), v1::VCPU_RUNNABLE);
    EXPECT_EQ(domain.vcpus(3).state(), v1::VCPU_OFFLINE);
    EXPECT_EQ(domain.vcpus(0).cpu_time_ns(), 1234u);
    EXPECT_EQ(domain.vcpus(2).cpu(), 2u);
    EXPECT_EQ(domain.vcpus(2).hard_cpus(), "1,3");
    EXPECT_EQ(domain.vcpus(2).soft_cpus(), "0-3");
    EXPECT_FALSE(domain.vcpus(0).has_times());
}

TEST_F(VcpuControlTest, TimesWhereTheHypervisorTells) {
    const uint16_t id = create(four("g1")).id;
    fake_.cpus.domain(id, 4).vcpus[1].times = {1, 2, 3, 4};
    const v1::VcpuTimes times = list("g1", true).domains(0).vcpus(1).times();
    EXPECT_EQ(times.running(), 1u);
    EXPECT_EQ(times.runnable(), 2u);
    EXPECT_EQ(times.blocked(), 3u);
    EXPECT_EQ(times.offline(), 4u);
    EXPECT_EQ(list("g1", true).domains(0).vcpus(1).hard_cpus(), "");
    fake_.cpus.tells_times = false;
    EXPECT_FALSE(list("g1", true).domains(0).vcpus(1).has_times());
}

TEST_F(VcpuControlTest, ManyVcpusComeInPieces) {
    for (int i = 0; i < 20; i++) {
        v1::DomainConfig description = config("g" + std::to_string(i));
        description.set_vcpus(128);
        create(description);
    }
    int pieces = 0;
    EXPECT_EQ(list("", true, &pieces).domains_size(), 20);
    EXPECT_EQ(pieces, 3);
}

TEST_F(VcpuControlTest, PinsOneOrAll) {
    const uint16_t id = create(four("g1")).id;
    auto& vcpus = fake_.cpus.domain(id, 4).vcpus;
    const v1::VcpuReport one = pin("g1", 1, "2");
    EXPECT_EQ(one.domains(0).vcpus(1).hard_cpus(), "2");
    EXPECT_EQ(vcpus[1].hard, CpuSet{2});
    EXPECT_EQ(vcpus[1].soft, first_cpus(4));
    EXPECT_EQ(vcpus[0].hard, first_cpus(4));
    pin("g1", -1, "0-3,^2", "1");
    for (const FakeVcpu& vcpu : vcpus) {
        EXPECT_EQ(vcpu.hard, (CpuSet{0, 1, 3}));
        EXPECT_EQ(vcpu.soft, CpuSet{1});
    }
    pin("g1", 0, "", "all");
    EXPECT_EQ(vcpus[0].soft, first_cpus(4));
    EXPECT_EQ(vcpus[0].hard, (CpuSet{0, 1, 3}));
}

TEST_F(VcpuControlTest, PinsHoldOverAReboot) {
    v1::DomainConfig description = four("g1");
    description.set_on_reboot(v1::END_RESTART);
    description.set_cpus("0-2");
    FakeDomain& domain = create(description);
    EXPECT_EQ(fake_.cpus.domain(domain.id, 4).vcpus[3].hard, (CpuSet{0, 1, 2}));
    pin("g1", 1, "2", "2-3");
    guest_ends(domain, abi::ShutdownReason::kReboot);
    auto& vcpus = fake_.cpus.domain(build().id, 4).vcpus;
    EXPECT_EQ(vcpus[1].hard, CpuSet{2});
    EXPECT_EQ(vcpus[1].soft, (CpuSet{2, 3}));
    EXPECT_EQ(vcpus[0].hard, (CpuSet{0, 1, 2}));
}

TEST_F(VcpuControlTest, PinsThatCannotBe) {
    create(four("g1"));
    expect_refused(refusal([&] { pin("g1", 4, "0"); }), ErrorCode::kInvalidArgument,
                   {"g1 has no vCPU 4", "its vCPUs are 0-3"});
    expect_refused(refusal([&] { pin("g1", 0, "1,7"); }), ErrorCode::kInvalidArgument,
                   {"no CPU 7", "\"1,7\"", "the CPUs are 0-3"});
    expect_refused(refusal([&] { pin("g1", 0, "some"); }), ErrorCode::kInvalidArgument, {"\"some\""});
    expect_refused(refusal([&] { pin("g1", 0, ""); }), ErrorCode::kInvalidArgument, {"nothing"});
    fake_.cpus.pools[0].cpus = {0, 1};
    fake_.cpus.free = {2, 3};
    expect_refused(refusal([&] { pin("g1", 0, "2-3"); }), ErrorCode::kInvalidArgument,
                   {"g1 cannot run on 2-3", "Pool-0", "has the CPUs 0-1"});
    fake_.cpus.supports_affinity = false;
    expect_refused(refusal([&] { pin("g1", 0, "0"); }), ErrorCode::kNotSupported,
                   {"cannot give vCPU 0", "the CPUs 0", "does not support it"});
}

TEST_F(VcpuControlTest, EachErrorOfThePinIsASentence) {
    create(four("g1"));
    Hypervisor& hypervisor = daemon_->hypervisor;
    const auto with = [&](abi::Errno error) {
        fake_.fail_call = fake_.calls_made + 2;  // the first asks how many CPUs there are
        fake_.fail_error = error;
        return refusal([&] { hypervisor.set_vcpu_affinity(DomId(1), 0, {{1}, {}}); });
    };
    expect_refused(with(abi::Errno::kEINVAL), ErrorCode::kOperationInvalid, {"dom0_vcpus_pin"});
    expect_refused(with(abi::Errno::kEBUSY), ErrorCode::kResourceBusy, {"try again"});
    expect_refused(with(abi::Errno::kESRCH), ErrorCode::kNoDomain, {"vCPU 0 of domain 1"});
    expect_refused(with(abi::Errno::kEOPNOTSUPP), ErrorCode::kNotSupported, {"does not support"});
}

TEST_F(VcpuControlTest, WeightAndCapAtOnce) {
    const uint16_t id = create(four("g1")).id;
    create("g2");
    v1::ShareList shares = schedule("", {}, {});
    ASSERT_EQ(shares.shares_size(), 2);
    EXPECT_EQ(shares.shares(0).name(), "g1");
    EXPECT_EQ(shares.shares(0).share().weight(), 256u);
    EXPECT_EQ(shares.shares(0).pool(), "Pool-0");
    EXPECT_EQ(shares.shares(0).scheduler(), "credit2");
    shares = schedule("g1", 512, {});
    EXPECT_EQ(shares.shares(0).share().weight(), 512u);
    EXPECT_EQ(shares.shares(0).share().cap_percent(), 0u);
    schedule("g1", {}, 150);
    EXPECT_EQ(fake_.cpus.domain(id, 4).share.weight, 512);
    EXPECT_EQ(fake_.cpus.domain(id, 4).share.cap, 150);
    schedule("g1", {}, 0);
    EXPECT_EQ(fake_.cpus.domain(id, 4).share.cap, 0);
    v1::Domain info = manager().info("g1");
    control().add_share(info);
    EXPECT_EQ(info.share().weight(), 512u);
    EXPECT_EQ(info.pool(), "Pool-0");
}

TEST_F(VcpuControlTest, SharesThatCannotBe) {
    create("g1");
    for (const uint32_t weight : {0u, 65536u}) {
        expect_refused(refusal([&] { schedule("g1", weight, {}); }), ErrorCode::kInvalidArgument,
                       {std::to_string(weight).c_str(), "1 to 65535"});
    }
    expect_refused(refusal([&] { schedule("g1", {}, 65535); }), ErrorCode::kInvalidArgument, {"65535 %"});
    expect_refused(refusal([&] { schedule("gone", 5, {}); }), ErrorCode::kNoDomain, {"gone"});
    fake_.cpus.pools[0].scheduler = abi::SchedulerId::kNull;
    EXPECT_FALSE(schedule("g1", {}, {}).shares(0).share().known());
    expect_refused(refusal([&] { schedule("g1", 5, {}); }), ErrorCode::kNotSupported,
                   {"g1 has no weight", "null"});
}

TEST_F(VcpuControlTest, SharesAndPoolsHoldOverAReboot) {
    v1::DomainConfig description = config("g1");
    description.set_on_reboot(v1::END_RESTART);
    FakeDomain& domain = create(description);
    schedule("g1", 300, 40);
    fake_.cpus.pools[0].cpus.erase(3);
    fake_.cpus.free = {3};
    manager().pools().create("batch", "3");
    v1::PoolMoveRequest move;
    move.set_domain("g1");
    move.set_pool("batch");
    control().move(move);
    EXPECT_EQ(fake_.cpus.domain(domain.id, 1).pool, 1u);
    guest_ends(domain, abi::ShutdownReason::kReboot);
    const auto& again = fake_.cpus.domain(build().id, 1);
    EXPECT_EQ(again.share.weight, 300);
    EXPECT_EQ(again.share.cap, 40);
    EXPECT_EQ(again.pool, 1u);
}

TEST_F(VcpuControlTest, ADescriptionsWishesAreGranted) {
    fake_.cpus.pools[0].cpus = {0, 1};
    fake_.cpus.pools[7].cpus = {2, 3};
    daemon_->store.client().write("/local/pool/7/name", "batch");
    v1::DomainConfig description = four("g1");
    description.set_pool("batch");
    description.set_weight(1000);
    description.set_cap_percent(250);
    description.set_cpus("2");
    description.set_soft_cpus("all");
    const auto& cpus = fake_.cpus.domain(create(description).id, 4);
    EXPECT_EQ(cpus.pool, 7u);
    EXPECT_EQ(cpus.share.weight, 1000);
    EXPECT_EQ(cpus.share.cap, 250);
    for (const FakeVcpu& vcpu : cpus.vcpus)
        EXPECT_EQ(vcpu.hard, CpuSet{2});
}

TEST_F(VcpuControlTest, DescriptionsThatCannotBe) {
    const auto with = [&](auto change) {
        v1::DomainConfig description = four("g1");
        change(description);
        return refusal([&] { ask_create(description); });
    };
    expect_refused(with([](auto& c) { c.set_pool("none"); }), ErrorCode::kInvalidArgument,
                   {"no CPU pool \"none\"", "there are: Pool-0"});
    expect_refused(with([](auto& c) { c.set_cpus("4"); }), ErrorCode::kInvalidArgument, {"no CPU 4", "0-3"});
    expect_refused(with([](auto& c) { c.set_soft_cpus("a"); }), ErrorCode::kInvalidArgument, {"\"a\""});
    expect_refused(with([](auto& c) { c.set_weight(70000); }), ErrorCode::kInvalidArgument, {"70000"});
    expect_refused(with([](auto& c) { c.set_cap_percent(70000); }), ErrorCode::kInvalidArgument, {"70000"});
    expect_refused(with([](auto& c) { c.set_vcpus(5); }), ErrorCode::kInvalidArgument,
                   {"start with 5", "at most 4"});
    expect_refused(with([](auto& c) { c.set_max_vcpus(129); }), ErrorCode::kInvalidArgument,
                   {"129", "the limit is 128"});
    fake_.cpus.pools[0].cpus = {0, 1};
    fake_.cpus.free = {2, 3};
    expect_refused(with([](auto& c) { c.set_cpus("2-3"); }), ErrorCode::kInvalidArgument,
                   {"2-3", "Pool-0", "0-1"});
    EXPECT_TRUE(daemon_->builders.empty());
}

// What only shows when the domain is there ends the creation, and nothing stays.
TEST_F(VcpuControlTest, AWishThatTheHypervisorRefusesEndsTheCreation) {
    v1::DomainConfig description = config("g1");
    description.set_cpus("1");
    fake_.cpus.supports_affinity = false;
    ask_create(description);
    FakeDomain& domain = fake_.add_domain(*parse_uuid(daemon_->requests.back().uuid()), 4);
    v1::BuilderResult result;
    result.set_domid(domain.id);
    result.set_xenstore_frame(domain.frames.at(0));
    result.set_xenstore_port(1);
    result.set_console_frame(domain.frames.at(1));
    result.set_console_port(2);
    daemon_->builders.back().built(result);
    daemon_->settle();
    EXPECT_NE(told_->failure.find("does not support it"), std::string::npos) << told_->failure;
    expect_nothing_left();
}

TEST_F(VcpuControlTest, DomainsOfOthersAreControlledToo) {
    fake_.add_domain(Uuid{9}, 1);
    pin("1", 0, "3");
    EXPECT_EQ(fake_.cpus.domain(1, 1).vcpus[0].hard, CpuSet{3});
    EXPECT_EQ(schedule("1", 77, {}).shares(0).share().weight(), 77u);
    EXPECT_EQ(list("", false).domains(0).domain().name(), "(domain 1)");
}

}  // namespace
}  // namespace torii::dom0
