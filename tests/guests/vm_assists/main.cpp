// vm_assist and what its types do.

#include <torii/guest/hypercall.h>
#include <torii/guest/report.h>

using namespace torii::guest;
namespace abi = torii::abi;

GUEST_TEST(vm_assist_toggle, "Known assists can be switched on and off") {
    for (const abi::VmAssistType type :
         {abi::VmAssistType::kWritablePagetables, abi::VmAssistType::kRunstateUpdateFlag,
          abi::VmAssistType::kArchitecturalIopl}) {
        CHECK_SUCCEEDS(vm_assist(abi::VmAssistCommand::kEnable, type));
        CHECK_SUCCEEDS(vm_assist(abi::VmAssistCommand::kEnable, type));
        CHECK_SUCCEEDS(vm_assist(abi::VmAssistCommand::kDisable, type));
    }
}

GUEST_TEST(vm_assist_refused, "Unknown types and commands are refused") {
    CHECK_FAILS(vm_assist(abi::VmAssistCommand::kEnable, static_cast<abi::VmAssistType>(31)), kEINVAL);
    CHECK_FAILS(vm_assist(abi::VmAssistCommand::kEnable, static_cast<abi::VmAssistType>(64)), kEINVAL);
    CHECK_FAILS(vm_assist(static_cast<abi::VmAssistCommand>(2), abi::VmAssistType::kWritablePagetables),
                kENOSYS);
}
