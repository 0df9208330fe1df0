// sysctl getdomaininfolist: many domains in one call.
#include "core/call/domctl_ops.h"
#include "core/call/sysctl_ops.h"

namespace torii::call {

CallResult domain_list(SysctlCall& call) {
    auto& request = call.request.u.getdomaininfolist;
    const GuestArray<abi::DomctlGetdomaininfo> places(request.buffer);
    uint32_t found = 0;
    for (DomId id(request.first_domain); found < request.max_domains; ++found) {
        const DomainRef domain(next_domain(id));
        if (!domain) break;
        abi::DomctlGetdomaininfo info;
        describe_domain(*domain, info);
        TRY(places.write(found, info));
        id = DomId(static_cast<uint16_t>(domain->id.raw() + 1));
    }
    request.num_domains = found;
    return 0;
}

}  // namespace torii::call
