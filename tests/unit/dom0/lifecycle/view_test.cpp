#include <gtest/gtest.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <torii/failure.h>

#include "lifecycle/config_rules.h"
#include "lifecycle/domain_view.h"
#include "lifecycle/uuid.h"

namespace torii::dom0 {
namespace {

template <typename Ours>
int number(Ours ours) {
    return static_cast<int>(ours);
}

TEST(View, NumbersAreLibvirts) {
    EXPECT_EQ(number(v1::RUNNING), VIR_DOMAIN_RUNNING);
    EXPECT_EQ(number(v1::BLOCKED), VIR_DOMAIN_BLOCKED);
    EXPECT_EQ(number(v1::PAUSED), VIR_DOMAIN_PAUSED);
    EXPECT_EQ(number(v1::SHUTDOWN), VIR_DOMAIN_SHUTDOWN);
    EXPECT_EQ(number(v1::SHUTOFF), VIR_DOMAIN_SHUTOFF);
    EXPECT_EQ(number(v1::CRASHED), VIR_DOMAIN_CRASHED);
    EXPECT_EQ(number(v1::SUSPENDED), VIR_DOMAIN_PMSUSPENDED);
    EXPECT_EQ(number(RunningReason::kBooted), VIR_DOMAIN_RUNNING_BOOTED);
    EXPECT_EQ(number(RunningReason::kUnpaused), VIR_DOMAIN_RUNNING_UNPAUSED);
    EXPECT_EQ(number(PausedReason::kUser), VIR_DOMAIN_PAUSED_USER);
    EXPECT_EQ(number(PausedReason::kStartingUp), VIR_DOMAIN_PAUSED_STARTING_UP);
    EXPECT_EQ(number(ShutdownStateReason::kUser), VIR_DOMAIN_SHUTDOWN_USER);
    EXPECT_EQ(number(ShutoffReason::kShutdown), VIR_DOMAIN_SHUTOFF_SHUTDOWN);
    EXPECT_EQ(number(ShutoffReason::kDestroyed), VIR_DOMAIN_SHUTOFF_DESTROYED);
    EXPECT_EQ(number(ShutoffReason::kCrashed), VIR_DOMAIN_SHUTOFF_CRASHED);
    EXPECT_EQ(number(ShutoffReason::kFailed), VIR_DOMAIN_SHUTOFF_FAILED);
    EXPECT_EQ(number(ShutoffReason::kDaemon), VIR_DOMAIN_SHUTOFF_DAEMON);
    EXPECT_EQ(number(CrashedReason::kPanicked), VIR_DOMAIN_CRASHED_PANICKED);
}

TEST(View, ErrorCodesAreLibvirts) {
    EXPECT_EQ(number(ErrorCode::kInternal), VIR_ERR_INTERNAL_ERROR);
    EXPECT_EQ(number(ErrorCode::kNoMemory), VIR_ERR_NO_MEMORY);
    EXPECT_EQ(number(ErrorCode::kNotSupported), VIR_ERR_NO_SUPPORT);
    EXPECT_EQ(number(ErrorCode::kNoConnection), VIR_ERR_NO_CONNECT);
    EXPECT_EQ(number(ErrorCode::kInvalidArgument), VIR_ERR_INVALID_ARG);
    EXPECT_EQ(number(ErrorCode::kOperationFailed), VIR_ERR_OPERATION_FAILED);
    EXPECT_EQ(number(ErrorCode::kHypercall), VIR_ERR_XEN_CALL);
    EXPECT_EQ(number(ErrorCode::kNoKernel), VIR_ERR_NO_KERNEL);
    EXPECT_EQ(number(ErrorCode::kNoXenstore), VIR_ERR_NO_XENSTORE);
    EXPECT_EQ(number(ErrorCode::kDomainExists), VIR_ERR_DOM_EXIST);
    EXPECT_EQ(number(ErrorCode::kParseFailed), VIR_ERR_PARSE_FAILED);
    EXPECT_EQ(number(ErrorCode::kConfigurationSyntax), VIR_ERR_CONF_SYNTAX);
    EXPECT_EQ(number(ErrorCode::kSystem), VIR_ERR_SYSTEM_ERROR);
    EXPECT_EQ(number(ErrorCode::kRpc), VIR_ERR_RPC);
    EXPECT_EQ(number(ErrorCode::kNoDomain), VIR_ERR_NO_DOMAIN);
    EXPECT_EQ(number(ErrorCode::kOperationInvalid), VIR_ERR_OPERATION_INVALID);
    EXPECT_EQ(number(ErrorCode::kConfigurationUnsupported), VIR_ERR_CONFIG_UNSUPPORTED);
    EXPECT_EQ(number(ErrorCode::kTimeout), VIR_ERR_OPERATION_TIMEOUT);
    EXPECT_EQ(number(ErrorCode::kAborted), VIR_ERR_OPERATION_ABORTED);
    EXPECT_EQ(number(ErrorCode::kOverflow), VIR_ERR_OVERFLOW);
    EXPECT_EQ(number(ErrorCode::kResourceBusy), VIR_ERR_RESOURCE_BUSY);
    EXPECT_EQ(number(ErrorCode::kAccessDenied), VIR_ERR_ACCESS_DENIED);
}

TEST(View, LogLineOfTheRightDomain) {
    const std::string log =
        "(XEN) d1v0 Unhandled: vec 6, #UD\n(XEN) Domain 1 (vcpu#0) crashed on cpu#0:\n(XEN) d12v0 Unhandled: "
        "vec 14\n"
        "(XEN) registers d1 d12\nd3 may not map frame 0x12\n(torii) d3 killed: bad page table\r\nd3v0: last "
        "calls\n";
    EXPECT_EQ(find_log_line(log, DomId(1)), "d1v0 Unhandled: vec 6, #UD");
    EXPECT_EQ(find_log_line(log, DomId(12)), "d12v0 Unhandled: vec 14");
    EXPECT_EQ(find_log_line(log, DomId(2)), "");
    EXPECT_EQ(find_log_line(log, DomId(3)), "d3 killed: bad page table");
    EXPECT_EQ(find_log_line("d5 may not map frame 0x12\n", DomId(5)), "");  // that was not its end
    EXPECT_EQ(find_log_line("", DomId(1)), "");
    EXPECT_EQ(find_log_line("\n\n", DomId(1)), "");
}

TEST(View, EndsAreDescribed) {
    EXPECT_EQ(describe_end(abi::ShutdownReason::kPoweroff, "").state, v1::SHUTOFF);
    EXPECT_EQ(describe_end(abi::ShutdownReason::kCrash, "").reason, VIR_DOMAIN_CRASHED_PANICKED);
    EXPECT_NE(describe_end(abi::ShutdownReason::kCrash, "line").explanation.find("line"), std::string::npos);
    EXPECT_EQ(describe_end(abi::ShutdownReason::kWatchdog, "").state, v1::CRASHED);
    EXPECT_EQ(describe_end(static_cast<abi::ShutdownReason>(99), "").state, v1::CRASHED);
}

TEST(Uuid, TextAndBack) {
    const std::string text = "0123abcd-4567-89ef-0011-223344556677";
    const auto uuid = parse_uuid(text);
    ASSERT_TRUE(uuid);
    EXPECT_EQ((*uuid)[0], 0x01);
    EXPECT_EQ((*uuid)[15], 0x77);
    EXPECT_EQ(format_uuid(*uuid), text);
    for (const char* bad :
         {"", "0123abcd", "0123abcd-4567-89ef-0011-22334455667g", "0123abcd+4567-89ef-0011-223344556677",
          "0123abcd-4567-89ef-0011-2233445566778"}) {
        EXPECT_FALSE(parse_uuid(bad)) << bad;
    }
    EXPECT_NE(make_uuid(), make_uuid());
    EXPECT_EQ(format_uuid(make_uuid())[14], '4');
}

v1::DomainConfig good() {
    v1::DomainConfig config;
    config.set_name("web-1.example_a+b");
    config.set_kernel("/boot/vmlinuz");
    config.set_memory_kib(256 << 10);
    config.set_vcpus(2);
    return config;
}

std::string refusal(v1::DomainConfig config) {
    try {
        check_config(config);
        return "";
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.code(), ErrorCode::kInvalidArgument);
        return failure.what();
    }
}

TEST(Rules, DefaultsAreFilledIn) {
    v1::DomainConfig config = good();
    check_config(config);
    EXPECT_TRUE(parse_uuid(config.uuid()));
    EXPECT_EQ(config.max_memory_kib(), 256u << 10);
}

TEST(Rules, EachMistakeIsNamed) {
    const auto with = [](auto change) {
        v1::DomainConfig config = good();
        change(config);
        return refusal(config);
    };
    EXPECT_NE(with([](auto& c) { c.set_name(""); }), "");
    for (const char* name : {"a b", "a/b", "-x", ".x", "12", "Domain-0", "\xC3\xA4", "a\nb"}) {
        EXPECT_NE(with([&](auto& c) { c.set_name(name); }), "") << name;
    }
    EXPECT_NE(with([](auto& c) { c.set_name(std::string(64, 'x')); }), "");
    EXPECT_EQ(with([](auto& c) { c.set_name(std::string(63, 'x')); }), "");
    EXPECT_NE(with([](auto& c) { c.set_kernel(""); }), "");
    EXPECT_NE(with([](auto& c) { c.set_kernel("relative"); }), "");
    EXPECT_NE(with([](auto& c) { c.set_ramdisk("relative"); }), "");
    EXPECT_NE(with([](auto& c) { c.set_vcpus(0); }).find("at least one"), std::string::npos);
    EXPECT_NE(with([](auto& c) { c.set_vcpus(10000); }).find("10000"), std::string::npos);
    EXPECT_NE(with([](auto& c) { c.set_memory_kib(3); }), "");
    EXPECT_NE(with([](auto& c) { c.set_memory_kib(~0ull); }), "");
    EXPECT_NE(with([](auto& c) { c.set_max_memory_kib(1 << 10); }), "");
    EXPECT_NE(with([](auto& c) { c.set_command_line(std::string(1024, 'x')); }), "");
    EXPECT_EQ(with([](auto& c) { c.set_command_line(std::string(1023, 'x')); }), "");
    EXPECT_NE(with([](auto& c) { c.set_uuid("nonsense"); }), "");
}

}  // namespace
}  // namespace torii::dom0
