// A control domain that presses the hypervisor's debug keys: those of the argument `keys=`, each as Xen's `xl
// debug-keys` would. Afterwards it computes on for `seconds=` (5 when not given), so that something runs that
// a watchdog can look after.

#include <torii/abi/sysctl.h>
#include <torii/guest/console.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/start.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

void press(std::string_view keys) {
    abi::Sysctl request{};
    request.cmd = static_cast<uint32_t>(abi::SysctlCommand::kDebugKeys);
    request.interface_version = abi::kSysctlInterfaceVersion;
    request.u.debug_keys.keys.address = reinterpret_cast<uint64_t>(keys.data());
    request.u.debug_keys.nr_keys = static_cast<uint32_t>(keys.size());
    const auto result = sysctl(request);
    if (result != 0) print("pressing {} failed: {}\n", keys, result);
}

}  // namespace

void torii::guest::guest_main() {
    const std::string_view keys = option("keys");
    print("Pressing {}\n", keys);
    press(keys);
    uint64_t seconds = 0;
    for (const char digit : option("seconds"))
        seconds = seconds * 10 + static_cast<uint64_t>(digit - '0');
    const uint64_t end = system_time() + (seconds != 0 ? seconds : 5) * 1'000'000'000;
    while (system_time() < end) {
    }
}
