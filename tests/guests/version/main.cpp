// xen_version.

#include <torii/guest/hypercall.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

using namespace torii::guest;
namespace abi = torii::abi;

GUEST_TEST(version_number, "The version is 4.17") {
    CHECK_EQUAL(xen_version<void>(abi::VersionOp::kVersion, nullptr), 4 << 16 | 17);
}

GUEST_TEST(version_features,
           "The features that PV kernels insist on are offered, those that would change the ABI are not") {
    abi::FeatureInfo info{0, 0};
    CHECK_SUCCEEDS(xen_version(abi::VersionOp::kGetFeatures, &info));
    CHECK((info.submap & abi::feature_bit(abi::Feature::kMmuPtUpdatePreserveAd)) != 0);
    CHECK((info.submap & abi::feature_bit(abi::Feature::kGnttabMapAvailBits)) != 0);
    CHECK((info.submap & abi::feature_bit(abi::Feature::kWritablePageTables)) == 0);
    CHECK((info.submap & abi::feature_bit(abi::Feature::kAutoTranslatedPhysmap)) == 0);
    CHECK((info.submap & abi::feature_bit(abi::Feature::kSupervisorModeKernel)) == 0);
    CHECK_EQUAL((info.submap & abi::feature_bit(abi::Feature::kDom0)) != 0, is_control_domain());
}

GUEST_TEST(version_features_beyond, "Feature submaps beyond the last are refused") {
    abi::FeatureInfo info{abi::kFeatureSubmapCount, 0x5555};
    CHECK_FAILS(xen_version(abi::VersionOp::kGetFeatures, &info), kEINVAL);
    CHECK_EQUAL(info.submap, 0x5555u);
}

GUEST_TEST(version_strings, "Text answers end within their size") {
    static char text[abi::kCapabilitiesSize];
    CHECK_SUCCEEDS(xen_version(abi::VersionOp::kExtraversion, text));
    CHECK(std::string_view(text).size() < abi::kExtraversionSize);
    CHECK_SUCCEEDS(xen_version(abi::VersionOp::kCapabilities, text));
    CHECK(std::string_view(text).starts_with("xen-3.0-x86_64"));
    CHECK_SUCCEEDS(xen_version(abi::VersionOp::kChangeset, text));
    CHECK(std::string_view(text).size() < abi::kChangesetSize);
    abi::CompileInfo compile{};
    CHECK_SUCCEEDS(xen_version(abi::VersionOp::kCompileInfo, &compile));
}

GUEST_TEST(version_parameters, "The platform parameters name the hypervisor's area") {
    abi::PlatformParameters parameters{};
    CHECK_SUCCEEDS(xen_version(abi::VersionOp::kPlatformParameters, &parameters));
    CHECK_EQUAL(parameters.virt_start, abi::kHypervisorVirtStart);
    CHECK_EQUAL(xen_version<void>(abi::VersionOp::kPagesize, nullptr), 4096);
    abi::DomainHandle handle{};
    CHECK_SUCCEEDS(xen_version(abi::VersionOp::kGuestHandle, &handle));
}

GUEST_TEST(version_unknown, "Unknown sub-operations are refused") {
    CHECK_FAILS(hypercall(abi::Hypercall::kXenVersion, 11, nullptr), kENOSYS);
    CHECK_FAILS(hypercall(abi::Hypercall::kXenVersion, 0x1000, nullptr), kENOSYS);
}
