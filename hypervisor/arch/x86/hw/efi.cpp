#include "arch/x86/hw/efi.h"

#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/fpu.h"
#include "arch/x86/hw/registers.h"
#include "base/lock.h"
#include "port/context.h"
#include "port/machine.h"

namespace torii::hw {

constinit EfiRuntime efi_runtime;

extern "C" uint64_t call_firmware(const uint64_t* arguments, uint64_t function, uint64_t stack_top);

namespace {

// Firmware does one thing at a time.
constinit Spinlock firmware_lock{LockRank::kFirmware};

// The guest's state in the floating-point registers, which firmware may use, is away meanwhile.
class FpuForFirmware {
public:
    explicit FpuForFirmware(Vcpu& vcpu) : vcpu_(vcpu), task_switched_(local().task_switched) {
        set_task_switched(false);
        // What the guest has switched off is still there.
        if (features.xsave) write_xcr0(features.xcr0);
        save_fpu(vcpu_.pv.fpu_area);
        reset_fpu();
    }
    FpuForFirmware(const FpuForFirmware&) = delete;
    ~FpuForFirmware() {
        restore_fpu(vcpu_.pv.fpu_area);
        if (features.xsave) write_xcr0(vcpu_.pv.xcr0);
        set_task_switched(task_switched_);
    }

private:
    Vcpu& vcpu_;
    bool task_switched_;
};

}  // namespace

Result<uint64_t> call_efi(EfiService service, const EfiArguments& arguments) {
    Vcpu* const vcpu = current_vcpu();
    if (efi_runtime.table == 0 || vcpu == nullptr) return Errno::kENOSYS;
    const LockGuard guard(firmware_lock);
    const FpuForFirmware fpu(*vcpu);
    // What a trap looks for at the top of the stack that it finds.
    *reinterpret_cast<StackTop*>(efi_runtime.stack_top) = my_stack_top();
    const uint64_t before = read_cr3();
    load_cr3(local(), address_of(efi_runtime.root).raw());
    const auto function =
        *reinterpret_cast<const volatile uint64_t*>(efi_runtime.table + static_cast<uint32_t>(service));
    const uint64_t status = call_firmware(arguments.values, function, efi_runtime.stack_top);
    load_cr3(local(), before);
    return status;
}

}  // namespace torii::hw
