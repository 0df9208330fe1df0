// sysctl: what of the CPU the guests may see.
#include "arch/x86/pv/guest_cpuid.h"
#include "core/call/cpu_policy_leaves.h"
#include "core/call/sysctl_ops.h"

namespace torii::call {

// A guest's kernel asks through the forced-emulation prefix and gets the policy; nothing has to be masked in
// hardware for it.
CallResult levelling_capabilities(SysctlCall& call) {
    call.request.u.cpu_levelling_caps.caps = 0;
    return 0;
}

// The words in the order of the public cpufeatureset.h. The machine's own, unfiltered, are nobody's business.
CallResult cpu_featureset(SysctlCall& call) {
    auto& request = call.request.u.cpu_featureset;
    const auto index = static_cast<abi::FeaturesetIndex>(request.index);
    if (index != abi::FeaturesetIndex::kPv && index != abi::FeaturesetIndex::kPvMax)
        return Errno::kEOPNOTSUPP;
    const GuestArray<uint32_t> words(request.features);
    if (words.is_null()) {
        request.nr_features = pv::kFeatureWords;
        return 0;
    }
    const pv::FeatureSet& features = pv::policies.guest.features();
    const bool cut = request.nr_features < pv::kFeatureWords;
    const uint32_t count = cut ? request.nr_features : pv::kFeatureWords;
    TRY(words.write_many(0, features.data(), count));
    request.nr_features = count;
    return cut ? CallResult(Errno::kENOBUFS) : CallResult(0);
}

CallResult cpu_policy(SysctlCall& call) {
    auto& request = call.request.u.cpu_policy;
    const auto index = static_cast<abi::CpuPolicyIndex>(request.index);
    if (index != abi::CpuPolicyIndex::kPvMax && index != abi::CpuPolicyIndex::kPvDefault)
        return Errno::kEOPNOTSUPP;
    request.nr_leaves = TRY(write_policy(pv::policies.guest, request.leaves, request.nr_leaves));
    request.nr_msrs = 0;
    return 0;
}

}  // namespace torii::call
